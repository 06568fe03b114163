"""Channels to managers and agents: mutual TLS, the name that the other's certificate must have, keepalive, backoff.

Imports neither `cryptography` nor a server. (`import grpc` itself imports `asyncio`.)
"""

from collections.abc import Sequence

import grpc
from grpc import aio

from shoal.identity.identity import Identity
from shoal.identity.roles import MANAGER_SERVER_NAME
from shoal.rpc.host_port import target

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A spec has at most 1 MiB; lists are longer."""

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""What an agent takes from its manager: a snapshot of assignments."""

MAX_METADATA_BYTES = 256 * 1024
"""Faults ride in metadata; gRPC's own default of 8 KiB would cut them off."""

KEEPALIVE_OPTIONS = (
    # An agent leaves a manager whose host is gone, or that is suspended, after 5 s: well before the leader gives up the
    # nodes of a manager that was lost (its lease and `manager.dispatcher.liveness.heartbeats`).
    ("grpc.keepalive_time_ms", 2_500),
    ("grpc.keepalive_timeout_ms", 2_500),
    # For a process that is stopped while its kernel acknowledges: without it that is noticed after a minute.
    ("grpc.http2.ping_timeout_ms", 2_500),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

_ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'
_ONE_AT_A_TIME = '{"loadBalancingConfig": [{"pick_first": {}}]}'


def connect(
    addresses: Sequence[str],
    identity: Identity,
    *,
    server_name: str = MANAGER_SERVER_NAME,
    max_receive_bytes: int = MAX_MESSAGE_BYTES,
) -> grpc.Channel:
    """A channel for blocking calls, that spreads them over the addresses that answer. It connects at the first call.

    Args:
        addresses: `host:port` of any number of servers of the same kind, or one `unix:/path`.
        server_name: that the server's certificate must have: `MANAGER_SERVER_NAME` or `agent_server_name(id)`.
        max_receive_bytes: of one message.
    Raises:
        InvalidInput: an address is not valid.
        Unavailable: of several names, none resolves.
    """
    options = channel_options(server_name, max_receive_bytes)
    return grpc.secure_channel(target(addresses), _mutual_tls(identity), options)


def connect_aio(
    addresses: Sequence[str],
    identity: Identity,
    *,
    server_name: str = MANAGER_SERVER_NAME,
    max_receive_bytes: int = MAX_MESSAGE_BYTES,
    one_at_a_time: bool = False,
) -> "aio.Channel":
    """The same for asyncio.

    Args:
        one_at_a_time: all calls go to one server, and to another one only when that fails; so what a caller has written
            is there when it reads.
    """
    options = channel_options(server_name, max_receive_bytes, _ONE_AT_A_TIME if one_at_a_time else _ROUND_ROBIN)
    return aio.secure_channel(target(addresses), _mutual_tls(identity), options)


def connect_without_identity(address: str, root: bytes, *, server_name: str = MANAGER_SERVER_NAME) -> "aio.Channel":
    """A channel of one who has no certificate yet, to a server whose certificate must lead to `root` (PEM)."""
    options = channel_options(server_name, MAX_MESSAGE_BYTES)
    return aio.secure_channel(target([address]), grpc.ssl_channel_credentials(root), options)


def channel_options(
    server_name: str, max_receive_bytes: int, service_config: str = _ROUND_ROBIN
) -> tuple[tuple[str, str | int], ...]:
    """The options of every channel."""
    return (
        *KEEPALIVE_OPTIONS,
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # Despite its name, the time that one attempt may take.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.max_receive_message_length", max_receive_bytes),
        # The other side bounds what it takes.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.service_config", service_config),
        # A proxy named in the environment is for the web, not for the cluster.
        ("grpc.enable_http_proxy", 0),
    )


def _mutual_tls(identity: Identity) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=identity.ca, private_key=identity.key, certificate_chain=identity.certificate
    )
