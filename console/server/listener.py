"""Where the console listens, and how many connections it has at a time."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web

from shoal.errors import Unavailable

MAX_CONNECTIONS = 1_000
"""A browser has six and one for each stream."""
BACKLOG = 128
HANDSHAKE_SECONDS = 10.0
STOP_SECONDS = 3.0


class _Abort(asyncio.Protocol):
    """For connections above the bound."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0: any that is free.

    Raises:
        Unavailable: the address is taken, or not one of this host.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot listen on {host}, port {port}: {error}") from error


@asynccontextmanager
async def serving(app: web.Application, listener: socket.socket, tls: ssl.SSLContext | None) -> AsyncGenerator[None]:
    """Serve the application until the exit, which ends all requests."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS, handler_cancellation=True)
    await runner.setup()
    http = runner.server
    assert http is not None

    def protocol() -> asyncio.BaseProtocol:
        return _Abort() if len(http.connections) >= MAX_CONNECTIONS else http()

    timeout = HANDSHAKE_SECONDS if tls is not None else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, sock=listener, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=timeout)
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()
