"""Server limits: connections, concurrent calls and timeouts, one set of values per port.

A connection costs 20 to 50 kB before the peer is known, so their number and the time for the
handshake bound what strangers can take. Names of the options: grpc/impl/channel_arg_names.h.
"""

from dataclasses import dataclass

Option = tuple[str, int]


@dataclass(frozen=True)
class ServerLimits:
    """What one server grants.

    Attributes:
        connections: open at a time; one more is closed at once.
        calls: open at a time on one connection; the caller's gRPC holds the others back.
        handshake_seconds: for TLS and the first frame of HTTP/2, from the acceptance of the connection on.
        idle_seconds: without a call until the connection is closed; 0 means never.
        age_seconds: until the connection is closed, its calls given 10 s to end; 0 means never.
    """

    connections: int
    calls: int
    handshake_seconds: int = 10
    idle_seconds: int = 0
    age_seconds: int = 0

    def options(self) -> tuple[Option, ...]:
        """As gRPC takes them."""
        found = [
            ("grpc.max_allowed_incoming_connections", self.connections),
            ("grpc.max_concurrent_streams", self.calls),
            ("grpc.server_handshake_timeout_ms", self.handshake_seconds * 1000),
        ]
        if self.idle_seconds:
            found.append(("grpc.max_connection_idle_ms", self.idle_seconds * 1000))
        if self.age_seconds:
            found += [
                ("grpc.max_connection_age_ms", self.age_seconds * 1000),
                ("grpc.max_connection_age_grace_ms", 10_000),
            ]
        return tuple(found)


DEFAULT = ServerLimits(connections=1_024, calls=1_000)
"""The default of a server."""

MANAGER_API = ServerLimits(connections=16_384, calls=1_000)
"""Each agent has one connection, each command of a user one for as long as it runs."""

JOIN = ServerLimits(connections=512, calls=4, idle_seconds=30, age_seconds=120)
"""Clients have no certificate, make two calls and disconnect."""

AGENT_STREAMS = ServerLimits(connections=256, calls=2_000)
"""Each manager has one connection, with a call for each user who follows logs or runs a program."""
