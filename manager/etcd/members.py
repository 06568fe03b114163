"""Connections to etcd's members: a channel to each, its TLS credentials and keepalive.

gRPC verifies a certificate by the name of the channel's target, and a channel has one target. So each member has a
channel of its own, and `Members` chooses between them.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from manager.etcd.v3 import etcd_pb2 as rpc
from manager.etcd.v3.etcd_pb2_grpc import ClusterStub, KVStub, LeaseStub, MaintenanceStub, WatchStub
from shoal.errors import Unavailable
from shoal.rpc import host_port

AVOID_SECONDS = 5.0
"""For so long a member that failed a call is avoided while others are connected: it may be frozen or partitioned."""

_READY = grpc.ChannelConnectivity.READY
_OPTIONS: tuple[tuple[str, str | int], ...] = (
    # A resumed watch was one message of 12.7 MB; with the default of 4 MB every retry fails.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Takes effect where the peer's kernel still acknowledges: without it a frozen member is detected only after a
    # minute, and a watch on it is silent for so long.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files for mutual TLS with etcd.

    Attributes:
        server_name: the host name in every member's certificate, if that is not its own host; empty otherwise.
    """

    ca: Path
    certificate: Path
    key: Path
    server_name: str = ""


class Member:
    """One member, or the members behind one name, and its gRPC services.

    Args:
        endpoint: for messages.
    Attributes:
        failures: how many calls to it have failed.
    """

    def __init__(self, endpoint: str, channel: grpc.aio.Channel) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.kv, self.leases, self.watches = KVStub(channel), LeaseStub(channel), WatchStub(channel)
        self.maintenance, self.cluster = MaintenanceStub(channel), ClusterStub(channel)
        self.avoid_until = 0.0
        self.failures = 0

    def mark_failed(self) -> None:
        """Avoid this member for a while: a call to it failed."""
        self.failures += 1
        self.avoid_until = asyncio.get_running_loop().time() + AVOID_SECONDS

    def is_connected(self) -> bool:
        """Whether it is connected; if not, it connects in the background."""
        return self.channel.get_state(try_to_connect=True) is _READY


class Members:
    """The configured members. Close it, or use it as a context manager."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = tuple(members)
        self._turns = itertools.count()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        for member in self._members:
            await member.channel.close()

    async def connected(self, deadline_seconds: float) -> Member:
        """A connected member, so that it is known whether a call that fails was sent.

        Members are used in turn; one that failed recently comes last.

        Raises:
            Unavailable: none can be connected to in this time.
        """
        found = [member for member in self._in_turn() if member.is_connected()]
        if not found:
            return await self._first_to_connect(deadline_seconds)
        now = asyncio.get_running_loop().time()
        return next((member for member in found if member.avoid_until <= now), found[0])

    def has_other_connected(self, member: Member) -> bool:
        """Whether another member is connected, and no call to it failed recently."""
        now = asyncio.get_running_loop().time()
        return any(each is not member and each.is_connected() and each.avoid_until <= now for each in self._members)

    def _in_turn(self) -> Sequence[Member]:
        first = next(self._turns) % len(self._members)
        return self._members[first:] + self._members[:first]

    async def _first_to_connect(self, deadline_seconds: float) -> Member:
        attempts = {asyncio.ensure_future(member.channel.channel_ready()): member for member in self._members}
        try:
            done, _ = await asyncio.wait(attempts, timeout=deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for attempt in attempts:
                attempt.cancel()
        if done:
            return attempts[done.pop()]
        raise Unavailable(
            f"etcd did not respond within {deadline_seconds:g} s; "
            f"check that it is running: {await self._connection_error()}"
        )

    async def _connection_error(self) -> str:
        """Why the first member cannot be connected to, as far as gRPC reports it."""
        member = self._members[0]
        try:
            await member.maintenance.Status(rpc.StatusRequest(), timeout=1)
        except grpc.aio.AioRpcError as error:
            return f"{member.endpoint}: {error.details()}"
        return f"{member.endpoint} has just become available"


def own_member(socket: Path) -> Members:
    """The etcd that this manager runs, over a socket that only this user can access."""
    channel = grpc.aio.insecure_channel(f"unix:{socket}", options=list(_OPTIONS))
    return Members([Member("this manager's own etcd", channel)])


def cluster_members(endpoints: Sequence[str], tls: TlsFiles | None) -> Members:
    """The members of an external etcd cluster.

    Args:
        endpoints: HOST:PORT of any of its members; host names, IPv4 and, in brackets, IPv6 addresses.

    Raises:
        InvalidInput: an endpoint is invalid.
        Unavailable: a PEM file cannot be read.
    """
    options = list(_OPTIONS)
    if tls is None:
        return Members([Member(each, grpc.aio.insecure_channel(_target(each), options=options)) for each in endpoints])
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = _credentials(tls)
    return Members(
        [Member(each, grpc.aio.secure_channel(_target(each), credentials, options=options)) for each in endpoints]
    )


def _target(endpoint: str) -> str:
    # The only kind of target that accepts names and both IP versions and verifies each as written.
    return f"dns:///{host_port.parse(endpoint)}"


def _credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    try:
        return grpc.ssl_channel_credentials(tls.ca.read_bytes(), tls.key.read_bytes(), tls.certificate.read_bytes())
    except OSError as error:
        raise Unavailable(f"cannot read {error.filename}: {error.strerror}") from error
