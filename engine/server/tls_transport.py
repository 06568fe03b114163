"""TLS for connections that are closed one half at a time.

Docker's clients end their input of `attach` and `exec` with close_notify and read on. asyncio's own TLS closes the
whole connection then, and what the program still prints is lost. Here close_notify is the end of the peer's input and
nothing else (RFC 8446, section 6.1).
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from engine.server.peer_sockets import SHUT_DOWN

HANDSHAKE_SECONDS = 10.0
"""A connection whose handshake is not done by then is closed."""

_READ_BYTES = 256 * 1024
"""Of plain text that is handed over at once, at most."""
_WRITE_BYTES = 256 * 1024
"""Of plain text that is encrypted at once, so that a large write does not hold the loop."""


class TlsConnection(asyncio.Protocol):
    """The protocol of the socket: decrypts what it receives for the protocol above, which gets a `TlsTransport`.

    Args:
        make_protocol: the protocol above; made once the handshake is done.
        handshakes: has this connection until its handshake is done, or it is lost.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        handshakes: "set[TlsConnection]",
    ) -> None:
        self._handshakes = handshakes
        self._context = context
        self._make_protocol = make_protocol
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._socket: asyncio.Transport | None = None
        self._upper: TlsTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._input_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        self._handshakes.add(self)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._handshakes.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._upper is not None:
            self._upper.lost(exc)
        self._socket = None

    def pause_writing(self) -> None:
        if self._upper is not None:
            self._upper.protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._upper is not None:
            self._upper.protocol.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._input_ended or (self._upper is not None and self._upper.is_closing()):
            return
        self._incoming.write(data)
        if self._upper is None and not self._shake_hands():
            return
        self.deliver()

    def eof_received(self) -> bool:
        """The peer's socket is shut down: a plain end after close_notify, else the connection was cut off."""
        if self._socket is not None and not self._input_ended:
            self._socket.abort()
        if self._upper is not None:
            self._upper.is_peer_shut_down = True
        return True

    def deliver(self) -> None:
        """Hand over what was received, unless the protocol above does not read now."""
        while self._upper is not None and self._upper.is_reading() and not self._input_ended:
            data = self._read()
            if data:
                self._upper.deliver(data)
            elif not self._input_ended:
                return
        if self._upper is not None and self._upper.is_reading() and self._input_ended:
            self._upper.end_input()

    def encrypt(self, data: memoryview) -> None:
        """Send plain text."""
        for start in range(0, len(data), _WRITE_BYTES):
            self._tls.write(data[start : start + _WRITE_BYTES])
            self._flush()

    def end_output(self) -> None:
        """Send close_notify; the peer may write on."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()

    @property
    def tls(self) -> ssl.SSLObject:
        return self._tls

    def _shake_hands(self) -> bool:
        """One step of the handshake; whether it is done."""
        assert self._socket is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError:
            self._flush()  # the alert that says why
            self._socket.close()
            return False
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        self._handshakes.discard(self)
        self._upper = TlsTransport(self, self._socket, self._context)
        self._upper.start(self._make_protocol())
        return True

    def _read(self) -> bytes:
        """Plain text that is here; empty when there is none, or the input has ended."""
        pieces, size = [], 0
        while size < _READ_BYTES:
            try:
                piece = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._fail(error)
                break
            if not piece:
                self._input_ended = True
                break
            pieces.append(piece)
            size += len(piece)
        self._flush()
        return b"".join(pieces)

    def _fail(self, error: ssl.SSLError) -> None:
        """A record that is not valid, or close_notify after ours."""
        self._input_ended = True
        if not isinstance(error, ssl.SSLZeroReturnError) and self._socket is not None:
            self._flush()
            self._socket.abort()

    def _flush(self) -> None:
        if self._socket is not None and self._outgoing.pending:
            self._socket.write(self._outgoing.read())


class TlsTransport(asyncio.Transport):
    """The transport of the protocol above: plain text in both directions, each of which ends for itself."""

    def __init__(self, connection: TlsConnection, socket: asyncio.Transport, context: ssl.SSLContext) -> None:
        super().__init__({"sslcontext": context, "ssl_object": connection.tls})
        self._connection = connection
        self._socket = socket
        self._reading = True
        self._closing = False
        self._input_ended = False
        self._output_ended = False
        self.protocol: asyncio.Protocol = asyncio.Protocol()
        self.is_peer_shut_down = False

    def start(self, protocol: asyncio.BaseProtocol) -> None:
        """Connect the protocol above."""
        self.set_protocol(protocol)
        self.protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        """Plain text for the protocol above."""
        if not self._closing:
            self.protocol.data_received(data)

    def end_input(self) -> None:
        """The peer writes no more. As with a plain socket, the protocol decides whether that closes it."""
        if self._input_ended or self._closing:
            return
        self._input_ended = True
        if not self.protocol.eof_received():
            self.close()

    def lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self._closing = True
        self.protocol.connection_lost(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == SHUT_DOWN:
            return self.is_peer_shut_down
        found = super().get_extra_info(name)
        return self._socket.get_extra_info(name, default) if found is None else found

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_closing(self) -> bool:
        return self._closing or self._socket.is_closing()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        if self._reading and not self._closing:
            self._reading = False
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        if self._reading or self._closing:
            return
        self._reading = True
        self._socket.resume_reading()
        asyncio.get_running_loop().call_soon(self._connection.deliver)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._output_ended and not self.is_closing():
            self._connection.encrypt(memoryview(data).cast("B"))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._output_ended:
            self._output_ended = True
            self._connection.end_output()
            with suppress(OSError, RuntimeError):
                self._socket.write_eof()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._output_ended:
                self._connection.end_output()
            self._socket.close()

    def abort(self) -> None:
        self._closing = True
        self._socket.abort()

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._socket.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)
