"""Interfaces of the store and the registries, as the manager's rooms use them."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from manager.store.changes import Expect, Write
from manager.store.kinds import Kind, M
from manager.store.subscription import Subscription
from manager.store.tables import Tables
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.streams_pb2 import LogBatch, ReadLogsRequest
from shoal.distribution.resolve import ResolvedImage
from shoal.rpc.host_port import HostPort

NowMs = Callable[[], int]
"""Milliseconds since the Unix epoch."""


class RecordStore(Protocol):
    """The store, as the control API uses it."""

    @property
    def tables(self) -> Tables: ...

    @property
    def max_operations(self) -> int:
        """How many writes, and how many expectations, a commit may have."""
        ...

    def version_of(self, kind: Kind[M], identifier: str) -> int:
        """The record's version for an `Expect`, ABSENT when it is not there."""
        ...

    async def commit(self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None) -> int:
        """All writes or none; the revision they got.

        Raises:
            Conflict: an expectation does not hold. Unavailable: etcd is away.
        """
        ...

    def follow(self) -> Subscription:
        """Every change from now on."""
        ...


class ImageResolver(Protocol):
    """Registries, as far as a submission needs them."""

    async def resolve(self, reference: str) -> ResolvedImage:
        """What a tag means now.

        Raises:
            NotFound: there is no such image. Unauthenticated, PermissionDenied, Unavailable: as the registry answers.
        """
        ...


@dataclass(frozen=True)
class AgentAddress:
    """Where an agent's own server is."""

    node_id: str
    address: str

    @classmethod
    def of(cls, node_id: str, about: NodeDescription) -> "AgentAddress":
        """Where the node says that it is."""
        return cls(node_id, str(HostPort(about.address, about.stream_port)))


class LogReader(Protocol):
    """The agents' log streams."""

    def read_logs(self, agent: AgentAddress, request: ReadLogsRequest) -> AsyncGenerator[LogBatch, None]:
        """Raises Unavailable when the node does not answer, NotFound when it has none of the tasks."""
        ...
