"""The HTTP server of health and metrics: GET alone, small requests, few connections, one request each."""

import asyncio
import hmac
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 8 << 10
MAX_CONNECTIONS = 16
HEAD_SECONDS = 5.0
ANSWER_SECONDS = 10.0
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HttpAnswer:
    """What a request is answered with."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT


Handle = Callable[[bool], Awaitable[HttpAnswer]]
"""Takes whether the caller may see everything: it has the token, or there is none."""


class HttpListener:
    """Answers GET and HEAD of a few paths.

    Args:
        token: bearer token of those who may see everything; empty: everybody may.
        tls: None: plain HTTP.
    """

    def __init__(self, routes: Mapping[str, Handle], *, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._routes = routes
        self._token = token
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that it got. Raises OSError."""
        self._server = await asyncio.start_server(
            self._serve,
            host,
            port,
            ssl=self._tls,
            ssl_handshake_timeout=HEAD_SECONDS if self._tls else None,
            limit=MAX_HEAD_BYTES,
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            with suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                async with asyncio.timeout(HEAD_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                async with asyncio.timeout(ANSWER_SECONDS):
                    writer.write(await self._answer(head))
                    await writer.drain()
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            return _encoded(HttpAnswer(HTTPStatus.BAD_REQUEST, b"not a request\n"))
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            return _encoded(HttpAnswer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET is supported\n"))
        handle = self._routes.get(target.partition("?")[0])
        if handle is None:
            return _encoded(HttpAnswer(HTTPStatus.NOT_FOUND, b"page not found\n"))
        try:
            answer = await handle(self._is_admitted(lines[1:]))
        except Exception:
            _log.exception("GET %s failed", target.partition("?")[0])
            answer = HttpAnswer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error; check the logs\n")
        return _encoded(answer, body=method == "GET")

    def _is_admitted(self, lines: list[str]) -> bool:
        if not self._token:
            return True
        given = ""
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() == "authorization":
                given = value.strip()
        return hmac.compare_digest(given.encode("latin-1"), f"Bearer {self._token}".encode())


def _encoded(answer: HttpAnswer, *, body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        + ("WWW-Authenticate: Bearer\r\n" if answer.status is HTTPStatus.UNAUTHORIZED else "")
        + "Connection: close\r\n\r\n"
    )
    return head.encode() + (answer.body if body else b"")
