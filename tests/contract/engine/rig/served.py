"""A server in a thread of its own, for clients that block: on a Unix socket, and over TLS with certificates."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.server.api_server import ApiServer
from engine.server.callers import LOCAL, ApiCaller
from engine.server.listeners import serve, server_context, tcp_listener, unix_listener
from engine.server.routes import RouteTable

ActingFor = Callable[[ApiCaller], AbstractContextManager[None]]


@dataclass(frozen=True)
class Served:
    """Where it listens.

    Attributes:
        socket: path of the Unix socket.
        port: of TLS on 127.0.0.1.
        certificates: directory as of `DOCKER_CERT_PATH`.
    """

    socket: Path
    port: int
    certificates: Path

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def tls_url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"


@contextmanager
def served(
    open_routes: Callable[[], AbstractAsyncContextManager[RouteTable]],
    directory: Path,
    *,
    local: ApiCaller = LOCAL,
    acting_for: ActingFor = lambda _: nullcontext(),
    cluster: str = "",
) -> Iterator[Served]:
    """Serve until the exit.

    Args:
        open_routes: opens the routes to serve, in the server's own event loop.
        local, acting_for, cluster: as of `ApiServer`.
    """
    certificates = directory / "certificates"
    make_certificates(certificates)
    context = server_context(certificates / "server.pem", certificates / "server-key.pem", certificates / "ca.pem")
    unix, tcp = unix_listener(directory / "engine.sock"), tcp_listener("127.0.0.1", 0)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()

    def server_of(routes: RouteTable) -> ApiServer:
        return ApiServer(routes, cluster=cluster, local=local, acting_for=acting_for)

    async def run() -> None:
        async with open_routes() as routes, _serving(server_of(routes), {unix: None, tcp: context}):
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), name="engine")
    port = tcp.getsockname()[1]
    thread.start()
    try:
        assert ready.wait(60)
        yield Served(directory / "engine.sock", port, certificates)
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(60)
        loop.close()


def _serving(
    server: ApiServer, listeners: dict[socket.socket, ssl.SSLContext | None]
) -> AbstractAsyncContextManager[None]:
    return serve(server.http_server(), listeners)


def constant(routes: RouteTable) -> Callable[[], AbstractAsyncContextManager[RouteTable]]:
    """Routes that need no opening."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[RouteTable]:
        yield routes

    return opened


def make_certificates(directory: Path) -> None:
    """An authority, a server on 127.0.0.1, and an admin's certificate as Shoal's authority gives it."""
    directory.mkdir()
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("test", "authority", "test")
    ca = _sign(ca_name, ca_key, ca_name, ca_key, authority=True)
    _write(directory / "ca.pem", ca)
    for file, subject, hours in (
        ("server", _name("engine", "manager", "test"), 1),
        ("", _name("ada", "admin", "test"), 1),
        ("agent", _name("node1", "agent", "test"), 1),
        ("expired", _name("ada", "admin", "test"), -1),
        ("other", _name("ada", "admin", "other"), 1),
        ("nobody", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ada")]), 1),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(subject, key, ca_name, ca_key, authority=False, hours=hours)
        _write(directory / (f"{file}.pem" if file else "cert.pem"), certificate)
        _write(directory / (f"{file}-key.pem" if file else "key.pem"), key)


def _name(common: str, role: str, cluster: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
        ]
    )


def _sign(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
    hours: int = 1,
) -> x509.Certificate:
    now = datetime.now(UTC)
    addresses = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=2))
        .not_valid_after(now + timedelta(hours=hours))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(addresses, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _write(path: Path, content: x509.Certificate | ec.EllipticCurvePrivateKey) -> None:
    if isinstance(content, x509.Certificate):
        path.write_bytes(content.public_bytes(serialization.Encoding.PEM))
        return
    path.write_bytes(
        content.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
