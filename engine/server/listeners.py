"""Where the engine listens: a Unix socket, TCP with mutual TLS, sockets that systemd has opened."""

import asyncio
import grp
import os
import socket
import ssl
import stat
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from engine.server.peer_sockets import is_silent
from engine.server.tls_transport import TlsConnection
from shoal.errors import InvalidInput, Unavailable

MAX_CONNECTIONS = 2_000
MAX_HANDSHAKES = 500
"""Connections of a listener whose TLS handshake is under way; each is over in ten seconds."""
BACKLOG = 512
SHUTDOWN_SECONDS = 5.0

_FIRST_PASSED_SOCKET = 3
SILENCE_CHECK_SECONDS = 10.0
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4))
_REFUSAL_SECONDS = 0.5
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    b'{"message":"too many connections; the maximum is %d"}\n' % MAX_CONNECTIONS
)


class _Abort(asyncio.Protocol):
    """For connections above the bound of those that nobody is known of yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Refuse(asyncio.Protocol):
    """For connections above the bound. It reads on for a moment: what is not read would hide the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_REFUSAL)
        transport.write_eof()
        asyncio.get_running_loop().call_later(_REFUSAL_SECONDS, transport.close)


@asynccontextmanager
async def serve(http: web.Server, sockets: Mapping[socket.socket, ssl.SSLContext | None]) -> AsyncGenerator[None]:
    """Accept connections on listening sockets until the exit, which ends all requests.

    Args:
        sockets: with the context of those that speak TLS.
    """
    loop = asyncio.get_running_loop()

    def make_http() -> asyncio.BaseProtocol:
        return _Refuse() if len(http.connections) >= MAX_CONNECTIONS else http()

    servers = [
        await loop.create_server(_factory(make_http, context), sock=each, backlog=BACKLOG)
        if each.family != socket.AF_UNIX
        else await loop.create_unix_server(make_http, sock=each, backlog=BACKLOG)
        for each, context in sockets.items()
    ]
    departing = asyncio.create_task(_abort_silent(http))
    try:
        yield
    finally:
        departing.cancel()
        for server in servers:
            server.close()
        http.pre_shutdown()
        await http.shutdown(SHUTDOWN_SECONDS)


async def _abort_silent(http: web.Server) -> None:
    """End connections with data under way to hosts that have vanished, for a quarter of an hour as far as the kernel is
    concerned. Keepalive (tcp(7)) is for those without."""
    while True:
        await asyncio.sleep(SILENCE_CHECK_SECONDS)
        for connection in http.connections:
            transport = connection.transport
            if transport is not None and is_silent(transport):
                transport.abort()


def _factory(
    make_http: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext | None
) -> Callable[[], asyncio.BaseProtocol]:
    if context is None:
        return make_http
    handshakes: set[TlsConnection] = set()
    return lambda: _Abort() if len(handshakes) >= MAX_HANDSHAKES else TlsConnection(context, make_http, handshakes)


def unix_listener(path: Path, *, group: str = "") -> socket.socket:
    """A listening Unix socket, for its owner and a group. One that nobody listens on any more is replaced.

    Args:
        group: empty: that of the process.
    Raises:
        InvalidInput: there is no such group. Unavailable: it cannot be made, or another program listens.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        if group:
            os.chown(path, -1, _group_id(group))
        path.chmod(0o660)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen on {path}: {error.strerror or error}") from error
    except (InvalidInput, Unavailable):
        listener.close()
        raise
    return listener


def tcp_listener(host: str, port: int) -> socket.socket:
    """A listening TCP socket; connections whose other host has vanished end within three quarters of a minute.

    Raises:
        Unavailable: the address is taken, or not one of this host.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot listen on {host}:{port}: {error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        listener.setsockopt(socket.IPPROTO_TCP, option, value)
    return listener


def passed_listeners(environment: Mapping[str, str]) -> list[socket.socket]:
    """Sockets that systemd has opened for this process (sd_listen_fds(3))."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environment.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=_FIRST_PASSED_SOCKET + number) for number in range(count)]


def server_context(certificate: Path | None, key: Path | None, authority: Path) -> ssl.SSLContext:
    """TLS 1.3, with certificates of clients required.

    Args:
        certificate, key: of the server, PEM; None: there is none yet, and handshakes fail.
        authority: PEM of the authority that signs clients' certificates.
    Raises:
        InvalidInput: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"cannot use {certificate}, {key} and {authority}: {error}") from error
    return context


def _remove_stale(path: Path) -> None:
    """Remove a socket on which nobody listens."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Unavailable(f"cannot listen on {path}: it is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise Unavailable(f"cannot listen on {path}: another program does")


def _group_id(name: str) -> int:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise InvalidInput(f"group {name!r} does not exist") from None
