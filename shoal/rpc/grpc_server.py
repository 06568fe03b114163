"""gRPC servers with mutual TLS and role checks on every call."""

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import grpc
from grpc import aio

from shoal.errors import Unavailable
from shoal.identity.identity import Identity
from shoal.rpc.access import Access
from shoal.rpc.channel import KEEPALIVE_OPTIONS, MAX_MESSAGE_BYTES, MAX_METADATA_BYTES
from shoal.rpc.conditional_reads import ConditionalReads
from shoal.rpc.guard import NO_REMOVED_MANAGERS, Guard
from shoal.rpc.read_revisions import ReadRevisions
from shoal.rpc.removed_managers import RemovedManagers
from shoal.rpc.server_limits import DEFAULT, ServerLimits

STOP_SECONDS = 1.0
"""For calls in progress when a server is stopped; agents' sessions never end by themselves."""

CurrentIdentity = Callable[[], Identity]
"""Asked at each handshake, from a thread of gRPC, so that a renewed certificate is shown without a restart."""

_OPTIONS = (
    *{
        **dict(KEEPALIVE_OPTIONS),
        # Of agents, which send a heartbeat every 2 s: one whose host is gone is noticed before it has missed three of
        # them, with which it is lost.
        "grpc.keepalive_time_ms": 2_000,
        "grpc.keepalive_timeout_ms": 3_000,
        "grpc.http2.ping_timeout_ms": 3_000,
    }.items(),
    # Channels ping every 2.5 s, also without a call: see KEEPALIVE_OPTIONS.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    # The client bounds what it takes.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.http2.bdp_probe", 0),
    # Two daemons on one port would each get a part of the connections.
    ("grpc.so_reuseport", 0),
)


def make_server(
    access: Access,
    *,
    max_receive_bytes: int = MAX_MESSAGE_BYTES,
    limits: ServerLimits = DEFAULT,
    revisions: ReadRevisions | None = None,
    conditional: ConditionalReads | None = None,
    removed: RemovedManagers = NO_REMOVED_MANAGERS,
) -> aio.Server:
    """A server that admits callers by the table. Add servicers and a port (`listen`), then start it.

    Servicers are asyncio: coroutines, and async generators where they answer with a stream. They raise `ShoalError`.

    Args:
        access: who may call what; what is not in it is refused.
        max_receive_bytes: of one message of any method; `request_limits.REQUEST_BYTES` bounds each.
        limits: what is granted to whoever reaches the port, before and after it is known who that is.
        revisions: of a manager's store; users' calls wait for the one that they ask for, and answers report the newest.
        conditional: of a manager's store: reads that are answered "unchanged" where nothing has changed.
        removed: managers whose certificates are refused.
    """
    options = (*_OPTIONS, *limits.options(), ("grpc.max_receive_message_length", max_receive_bytes))
    return aio.server(interceptors=(Guard(access, revisions, conditional, removed),), options=options)


@asynccontextmanager
async def started(server: aio.Server) -> AsyncGenerator[None]:
    """The server serves within this block."""
    await server.start()
    try:
        yield
    finally:
        await server.stop(STOP_SECONDS)


def listen(
    server: aio.Server, address: str, identity: CurrentIdentity, *, require_client_certificate: bool = True
) -> int:
    """Listen with TLS; the port that it got, which is `address`'s own unless that is 0.

    Args:
        address: `host:port`, `[::]:port` or `unix:/path`.
        require_client_certificate: from our own authority; False only where nodes join.
    Raises:
        Unavailable: the address cannot be bound.
    """
    try:
        return server.add_secure_port(address, _server_credentials(identity, require_client_certificate))
    except RuntimeError as error:
        raise Unavailable(f"cannot listen on {address}: it is in use or not an address of this host") from error


def _server_credentials(identity: CurrentIdentity, require_client_certificate: bool) -> grpc.ServerCredentials:
    """Credentials that follow the identity.

    None, "as before", is what a handshake nearly always gets. gRPC puts a new certificate in the place of the one
    before without waiting for handshakes that begin with it in other threads (ssl_security_connector.cc): a new one for
    each handshake ends the process sooner or later when many connect at once.
    """
    shown = identity()
    turn = threading.Lock()

    def configuration(of: Identity) -> grpc.ServerCertificateConfiguration:
        roots = of.ca if require_client_certificate else None
        return grpc.ssl_server_certificate_configuration([(of.key, of.certificate)], root_certificates=roots)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        with turn:  # Each handshake asks from a thread of its own; a renewal is for the first of them alone.
            now = identity()
            if now == shown:
                return None
            shown = now
        return configuration(now)

    # The stubs do not know the answer None, which grpc.dynamic_ssl_server_credentials describes.
    return grpc.dynamic_ssl_server_credentials(configuration(shown), renewed, require_client_certificate)  # type: ignore[arg-type]
