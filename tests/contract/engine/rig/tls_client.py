"""A client of TLS that ends its input as the docker command line does: close_notify, and reading on.

`SSLSocket.unwrap` sends close_notify too, but takes output that comes meanwhile for an error.
"""

import socket
import ssl
from typing import Protocol


class Connection(Protocol):
    """What tests use of a connection, plain or over TLS."""

    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...
    def close(self) -> None: ...


class TlsClient:
    """The client's side of a connection, over a connected socket. A context manager: it closes the socket."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, server: str) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server)
        self._early = b""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                assert self._receive(), "the handshake was broken off"
        self._flush()

    def __enter__(self) -> "TlsClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sendall(self, data: bytes, /) -> None:
        self._tls.write(data)
        self._flush()

    def recv(self, size: int, /) -> bytes:
        """Output, or nothing at its end; the server has to say that by close_notify."""
        if self._early:
            data, self._early = self._early, b""
            return data
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                assert self._receive(), "cut off without close_notify"

    def end_input(self) -> None:
        """Send close_notify."""
        try:
            while piece := self._tls.read(1 << 16):
                self._early += piece
        except ssl.SSLWantReadError:
            pass
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            self._flush()

    def shut_down(self) -> None:
        """End the writing half of the socket below."""
        self._plain.shutdown(socket.SHUT_WR)

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        self._plain.setsockopt(level, option, value)

    def close(self) -> None:
        self._plain.close()

    def _receive(self) -> bytes:
        data = self._plain.recv(1 << 16)
        self._incoming.write(data)
        return data

    def _flush(self) -> None:
        self._plain.sendall(self._outgoing.read())
