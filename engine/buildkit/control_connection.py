"""gRPC served on a connection that was taken over from HTTP."""

import asyncio
from collections.abc import Callable

from grpc import aio

from engine.buildkit.connection_relay import private_socket, relay
from engine.server.hijack import RawStream

MAX_REQUEST_BYTES = 16 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)


async def serve_connection(stream: RawStream, register: Callable[[aio.Server], None]) -> None:
    """Serve until the client closes the connection. Calls under way are cancelled then.

    A server of its own for each connection, so that its services know who calls: what a handler of HTTP has in its
    context variables, the services have.

    Args:
        register: adds the services.
    """
    with private_socket() as path:
        server = aio.server(options=_OPTIONS)
        register(server)
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            await relay(stream, reader, writer)
        finally:
            await server.stop(None)
