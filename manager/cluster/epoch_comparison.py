"""Whether another manager of the cluster has later records: a backup was restored, or the majority was recovered."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from manager.membership.member_api import RemovedFromCluster
from manager.store.kinds import EPOCH
from manager.store.tables import Tables
from shoal.api.v1.cluster_pb2 import Epoch
from shoal.api.v1.dispatcher_pb2 import GetMembershipResponse
from shoal.errors import ShoalError
from shoal.utc_text import utc_text


class MembershipClient(Protocol):
    """`PeerManagerClient` is one."""

    async def membership(self, address: str, manager_id: str) -> GetMembershipResponse: ...


def current_epoch(tables: Tables) -> Epoch:
    """Of the loaded records; empty before there is a cluster."""
    return next(iter(tables.rows(EPOCH).values()), Epoch())


@dataclass(frozen=True)
class EpochComparison:
    """Asks other managers. One of an older epoch must not serve any more: its records are of a history that ended."""

    client: MembershipClient

    async def check(self, manager_id: str, own: Epoch, addresses: Iterable[str]) -> None:
        """Who does not respond is left out.

        Raises:
            RemovedFromCluster: this manager was removed, or a later epoch has begun elsewhere.
        """
        found = await asyncio.gather(*(self._ask(each, manager_id) for each in sorted(set(addresses))))
        for answer in found:
            if answer is not None and is_later(answer.epoch, own):
                raise RemovedFromCluster(
                    f"the cluster was restored from a backup, or recovered, at {utc_text(answer.epoch.started_at_ms)}: "
                    "the records of this manager are of before that, so it is no manager of it any more. Its files "
                    "are kept under other names. To be a manager again, run it with --join and a new token"
                )
            if answer is not None and answer.removed:
                raise RemovedFromCluster(f"manager {manager_id} was removed from the cluster")

    async def _ask(self, address: str, manager_id: str) -> GetMembershipResponse | None:
        try:
            return await self.client.membership(address, manager_id)
        except ShoalError:
            return None


def is_later(other: Epoch, own: Epoch) -> bool:
    """Whether the other epoch has replaced this one."""
    return bool(other.id and own.id) and other.id != own.id and other.started_at_ms > own.started_at_ms
