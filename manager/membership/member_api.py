"""What is needed of etcd to change its members: the protocol that `manager.etcd` and the tests' fake implement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shoal.errors import Refused, Unavailable

PEER_SCHEME = "https://"


@dataclass(frozen=True)
class EtcdMember:
    """A member as etcd lists it.

    Attributes:
        id: never changes; addresses do.
        name: empty while it has not started.
        peer_urls: where the other members reach it.
        is_learner: it receives the data and does not vote yet.
    """

    id: int
    name: str
    peer_urls: tuple[str, ...]
    is_learner: bool = False

    @property
    def is_started(self) -> bool:
        """Whether it has ever run as this member."""
        return bool(self.name)


@dataclass(frozen=True)
class EtcdMembers:
    """All members, and the one that leads; 0: none does now."""

    members: Sequence[EtcdMember]
    leader_id: int = 0


class NotNow(Unavailable):
    """etcd refuses the change for a while: members are not connected, or a learner is still behind. Repeat it."""


class RemovedFromCluster(Refused):
    """An operator has removed this manager: it is none any more, and must not start again as if it were."""


class MemberApi(Protocol):
    """Changes of etcd's members, made through the member beside this manager.

    Each raises NotNow, or Unavailable: etcd is unavailable, and the change may have been made.
    """

    async def list(self) -> EtcdMembers:
        """The members, linearizable."""
        ...

    async def add_learner(self, peer_url: str) -> EtcdMember: ...

    async def promote(self, member_id: int) -> None: ...

    async def remove(self, member_id: int) -> None:
        """No error if it is no member any more."""
        ...

    async def update(self, member_id: int, peer_url: str) -> None: ...

    async def move_leader(self, member_id: int) -> None:
        """Only the leading member can, so it has to be the one beside this manager."""
        ...


def peer_url(address: str) -> str:
    """The peer URL of a `host:port`."""
    return PEER_SCHEME + address
