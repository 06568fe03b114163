"""Status and maintenance of all managers' etcds, whichever manager is asked. Each manager reaches only its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from manager.cluster.cluster_handler import StoreMemberStatus
from shoal.api.v1.dispatcher_pb2 import EtcdStatus
from shoal.errors import ShoalError, Unavailable


class OwnEtcdMaintenance(Protocol):
    """Of the etcd beside this manager; `manager.etcd.maintenance.EtcdMaintenance` is one."""

    async def status(self) -> Sequence[StoreMemberStatus]: ...
    async def compact_history(self) -> None: ...
    async def defragment(self) -> None: ...
    async def clear_alarms(self) -> None: ...


EtcdCall = Callable[[str], Awaitable[EtcdStatus]]
"""A call to the manager at an address. Raises ShoalError."""


@dataclass(frozen=True)
class EtcdOfManager:
    """Implements `manager.cluster.cluster_handler.StoreMemberStatus`.

    Attributes:
        endpoint: the manager's API address.
    """

    endpoint: str
    version: str = ""
    database_bytes: int = 0
    used_bytes: int = 0
    problem: str = ""
    is_leader: bool = False


class ManagersEtcds:
    """Implements `manager.cluster.cluster_handler.StoreMaintenance` for managers with an etcd of their own.

    Args:
        own: of this manager.
        own_id: of this manager.
        addresses: of the APIs of all registered managers by id, running or not.
        status, defragment: calls to another manager.
    """

    def __init__(
        self,
        *,
        own: OwnEtcdMaintenance,
        own_id: str,
        addresses: Callable[[], Mapping[str, str]],
        status: EtcdCall,
        defragment: EtcdCall,
    ) -> None:
        self._own = own
        self._own_id = own_id
        self._addresses = addresses
        self._status = status
        self._defragment = defragment

    async def status(self) -> Sequence[EtcdOfManager]:
        """Of each; one that cannot be asked has a problem."""
        return list((await self._statuses()).values())

    async def compact(self) -> Sequence[EtcdOfManager]:
        """Compact the history, then defragment one after the other: those that follow first. Returns their status.

        Raises:
            Unavailable: an etcd that responds has refused. The call may be repeated.
        """
        await self._own.compact_history()
        found = await self._statuses()
        responding = [each for each in found if found[each].version]
        for manager_id in sorted(responding, key=lambda each: found[each].is_leader):
            await self._defragment_of(manager_id, found[manager_id].endpoint)
        await self._own.clear_alarms()
        return await self.status()

    async def _statuses(self) -> dict[str, EtcdOfManager]:
        """By manager's id."""
        addresses = {self._own_id: "this manager", **self._addresses()}
        found = await asyncio.gather(*(self._status_of(*each) for each in addresses.items()))
        return dict(zip(addresses, found, strict=True))

    async def own_status(self) -> EtcdStatus:
        """For another manager."""
        found = (await self._own.status())[0]
        return EtcdStatus(
            version=found.version,
            database_bytes=found.database_bytes,
            used_bytes=found.used_bytes,
            problem=found.problem,
            is_leader=found.is_leader,
        )

    async def defragment_own(self) -> EtcdStatus:
        """For another manager. Raises Unavailable."""
        await self._own.defragment()
        return await self.own_status()

    async def _status_of(self, manager_id: str, address: str) -> EtcdOfManager:
        try:
            found = await (self.own_status() if manager_id == self._own_id else self._status(address))
        except ShoalError as error:
            return EtcdOfManager(address, problem=str(error))
        return EtcdOfManager(
            address, found.version, found.database_bytes, found.used_bytes, found.problem, found.is_leader
        )

    async def _defragment_of(self, manager_id: str, address: str) -> None:
        if manager_id == self._own_id:
            await self._own.defragment()
            return
        try:
            await self._defragment(address)
        except ShoalError as error:
            raise Unavailable(f"cannot defragment the etcd of the manager at {address}: {error}") from error
