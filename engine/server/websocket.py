"""WebSockets (RFC 6455) as a container's streams: what the client sends is input, frames to it are raw output."""

import codecs

from aiohttp import WSMsgType, web

from engine.protocol.errors import bad_request

MAX_MESSAGE_BYTES = 1024 * 1024
"""Of input in one message; a client that sends more is disconnected."""
CLOSE_SECONDS = 2.0
"""For the client's answer to a close."""


class WebSocketStream:
    """A `RawStream`. There are no halves: a client that closes is gone.

    Attributes:
        response: aiohttp's, for the server to end.
    """

    def __init__(self, response: web.WebSocketResponse, *, binary: bool) -> None:
        self.response = response
        self._text = None if binary else codecs.getincrementaldecoder("utf-8")("replace")

    @classmethod
    async def open(cls, request: web.BaseRequest, *, binary: bool) -> "WebSocketStream":
        """Answer the handshake.

        Args:
            binary: of frames; else they are text, as clients before 1.28 expect them.
        Raises:
            ApiError: 400, it is no handshake of a WebSocket.
        """
        response = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, compress=False, max_msg_size=MAX_MESSAGE_BYTES, decode_text=False
        )
        if not _is_handshake(request, response):
            raise bad_request("a WebSocket handshake is required (RFC 6455, section 4.1)")
        await response.prepare(request)
        return cls(response, binary=binary)

    async def read(self) -> bytes:
        """Input, in messages of either kind.

        Raises:
            ConnectionError: the client has closed, or is gone.
        """
        while True:
            message = await self.response.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                raise ConnectionResetError("the client has closed the WebSocket")
            if message.data:
                return bytes(message.data)

    async def write(self, data: bytes) -> None:
        """Send; waits while the client reads more slowly.

        Raises:
            ConnectionError: it is gone.
        """
        if self.response.closed:
            raise ConnectionResetError("the client has closed the WebSocket")
        if self._text is None:
            await self.response.send_bytes(data)
        elif text := self._text.decode(data):
            await self.response.send_str(text)

    async def end_output(self) -> None:
        """The output ends, and with it the connection."""
        await self.response.close()

    async def close(self) -> None:
        """The same."""
        await self.response.close()


def _is_handshake(request: web.BaseRequest, response: web.WebSocketResponse) -> bool:
    try:
        return response.can_prepare(request).ok
    except ValueError:  # a key that is no text of base64
        return False
