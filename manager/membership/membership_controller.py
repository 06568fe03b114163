"""Makes the changes of etcd's members that `membership_plan` decides, one after the other, while this manager leads."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from manager.membership import membership_plan as plan
from manager.membership.member_api import EtcdMembers, MemberApi, NotNow, peer_url
from manager.membership.membership_plan import Situation, changed, next_change
from manager.store.changes import Expect, Write, delete, expect, put
from manager.store.kinds import MANAGER, MANAGER_CLOCK, MEMBERSHIP, REGISTERED_MANAGER, REMOVED_MANAGER
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import Manager, ManagerMembership, RemovedManager
from shoal.errors import Conflict, LeadershipLost, Timeout, Unavailable
from shoal.fault_points.injection import fault

_log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
NEXT_SECONDS = 0.05
"""After a change that was made, before the next one."""
CHECK_SECONDS = 30.0
"""Between checks while no change is in progress: somebody may have changed the members by hand."""
IN_PROGRESS = frozenset({ManagerMembership.REQUESTED, ManagerMembership.LEARNER, ManagerMembership.REMOVING})


class OwnMember(Protocol):
    """The etcd beside this manager."""

    @property
    def peer_address(self) -> str:
        """host:port where it is to be reached by the other managers'."""
        ...

    @property
    def peers_open(self) -> bool:
        """Whether it listens there."""
        ...

    async def open_peers(self) -> None:
        """Start it again so that it listens there, with TLS.

        Raises:
            Unavailable: it did not come back, or a file cannot be written.
        """
        ...


class MembershipController:
    """Runs on the leader.

    Args:
        etcd: changes of members.
        own: the etcd beside this manager.
        manager_id: of this manager.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        etcd: MemberApi,
        own: OwnMember,
        manager_id: str,
        now_ms: Callable[[], int],
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._store = store
        self._etcd = etcd
        self._own = own
        self._id = manager_id
        self._now_ms = now_ms
        self._retry_seconds = retry_seconds

    async def run(self, fence: int) -> None:
        """Make changes until cancelled.

        Raises:
            LeadershipLost: the term is over, or ends so that another manager removes this one.
        """
        clock = asyncio.get_running_loop().time
        checked = -CHECK_SECONDS
        while True:
            if self._in_progress() or clock() - checked >= CHECK_SECONDS:
                checked = clock()
                if await self._tried(fence):
                    await asyncio.sleep(NEXT_SECONDS)
                    continue
            await asyncio.sleep(self._retry_seconds)

    async def step(self, fence: int) -> bool:
        """Make the next change; whether there was one.

        Raises:
            NotNow, Unavailable, Timeout, Conflict: try again. LeadershipLost: as `run`.
        """
        found = await self._etcd.list()
        change = next_change(self._situation(found))
        if change is None:
            return False
        if isinstance(change, plan.HandOver):
            raise LeadershipLost("this manager is being removed; another one leads")
        if isinstance(change, plan.OpenPeers) and self._own.peers_open:
            return False  # It has just been done; the record of this manager, which says so, is under way.
        # As the decision was made from it: an operator may request a removal while etcd makes the change.
        unchanged = self._unchanged(change.membership)
        if isinstance(change, plan.Postponed):
            return await self._note(change, unchanged, fence)
        await self._make(change, unchanged, fence)
        return True

    async def hand_over_when_removed(self) -> None:
        """On every manager, until cancelled: when it is being removed and its etcd leads, hand over the leadership, so
        that no election follows its removal. Only the leading member can do that.
        """
        while True:
            await asyncio.sleep(self._retry_seconds)
            own = self._store.tables.memberships.get(self._id)
            if own is None or own.state != ManagerMembership.REMOVING:
                continue
            try:
                target = plan.successor(self._situation(await self._etcd.list()))
                if target is not None:
                    await self._etcd.move_leader(target)
            except Unavailable as error:
                _log.warning("cannot hand over the leadership of etcd: %s", error)

    def _situation(self, found: EtcdMembers) -> Situation:
        tables = self._store.tables
        return Situation(
            members=found.members,
            memberships=tables.memberships,
            managers=tables.managers,
            own_id=self._id,
            etcd_leader=found.leader_id,
            now_ms=self._now_ms(),
        )

    async def _tried(self, fence: int) -> bool:
        try:
            return await self.step(fence)
        except NotNow as error:
            _log.debug("a change of etcd's members has to wait: %s", error)
        except (Unavailable, Timeout, Conflict) as error:
            _log.warning("cannot change etcd's members; trying again: %s", error)
        return False

    def _unchanged(self, membership: ManagerMembership) -> Expect:
        identifier = membership.manager_id
        return expect(MEMBERSHIP, identifier, self._store.version_of(MEMBERSHIP, identifier))

    def _in_progress(self) -> bool:
        tables = self._store.tables
        differ = any(
            each.etcd_member_id and self._differs(tables.memberships.get(identifier), each)
            for identifier, each in tables.managers.items()
        )
        return differ or any(each.state in IN_PROGRESS for each in tables.memberships.values())

    @staticmethod
    def _differs(known: ManagerMembership | None, manager: Manager) -> bool:
        if known is None:
            return True
        return manager.etcd_peers_open and known.peer_address != manager.etcd_peer_address

    async def _note(self, wait: plan.Postponed, unchanged: Expect, fence: int) -> bool:
        """Record why a change waits, for `shoal manager ls` and the manager that joins; nothing was changed."""
        if wait.membership.problem != wait.problem:
            level = logging.WARNING if wait.urgent else logging.INFO
            _log.log(level, "manager %s: %s", wait.membership.manager_id, wait.problem)
            await self._record(changed(wait.membership, self._now_ms(), problem=wait.problem), unchanged, fence)
        return False

    async def _make(self, change: plan.MembershipChange, unchanged: Expect, fence: int) -> None:
        match change:
            case plan.Record(membership):
                await self._record(membership, unchanged, fence)
            case plan.OpenPeers(membership):
                await self._open_peers(membership, unchanged, fence)
            case plan.AddLearner(membership):
                await self._add(membership, unchanged, fence)
            case plan.Promote(membership):
                await self._etcd.promote(membership.member_id)
                fault("manager.membership.promoted")
                _log.info("manager %s has a vote now", membership.manager_id)
                await self._record(changed(membership, self._now_ms(), state=plan.VOTER), unchanged, fence)
            case plan.Evict(membership, problem):
                _log.warning("manager %s did not join: %s", membership.manager_id, problem)
                await self._etcd.remove(membership.member_id)
                failed = changed(membership, self._now_ms(), state=plan.FAILED, member_id=0, problem=problem)
                await self._record(failed, unchanged, fence)
            case plan.UpdateAddress(membership, address):
                await self._etcd.update(membership.member_id, peer_url(address))
                fault("manager.membership.address-updated")
                await self._record(changed(membership, self._now_ms(), peer_address=address), unchanged, fence)
            case plan.Remove(membership):
                await self._etcd.remove(membership.member_id)
                fault("manager.membership.removed")
                _log.info("etcd of manager %s is not a member any more", membership.manager_id)
                await self._forget(membership, unchanged, fence)
            case plan.Forget(membership):
                await self._forget(membership, unchanged, fence)

    async def _open_peers(self, membership: ManagerMembership, unchanged: Expect, fence: int) -> None:
        address = self._own.peer_address
        _log.info("etcd starts again to accept other managers on %s", address)
        await self._etcd.update(membership.member_id, peer_url(address))
        fault("manager.membership.peers-announced")
        await self._own.open_peers()
        fault("manager.membership.peers-open")
        await self._record(changed(membership, self._now_ms(), peer_address=address), unchanged, fence)

    async def _add(self, membership: ManagerMembership, unchanged: Expect, fence: int) -> None:
        added = await self._etcd.add_learner(peer_url(membership.peer_address))
        fault("manager.membership.learner-added")
        _log.info("etcd of manager %s at %s was added", membership.manager_id, membership.peer_address)
        await self._record(
            changed(membership, self._now_ms(), state=plan.LEARNER, member_id=added.id), unchanged, fence
        )

    async def _record(self, membership: ManagerMembership, unchanged: Expect, fence: int) -> None:
        await self._store.commit([put(MEMBERSHIP, membership.manager_id, membership)], expects=[unchanged], fence=fence)

    async def _forget(self, membership: ManagerMembership, unchanged: Expect, fence: int) -> None:
        await self._store.commit(forget(membership.manager_id, self._now_ms()), expects=[unchanged], fence=fence)


def forget(manager_id: str, now_ms: int) -> Sequence[Write]:
    """Removes a manager's records, and has its certificate refused from now on."""
    return [
        delete(MEMBERSHIP, manager_id),
        delete(REGISTERED_MANAGER, manager_id),
        delete(MANAGER, manager_id),
        delete(MANAGER_CLOCK, manager_id),
        put(REMOVED_MANAGER, manager_id, RemovedManager(id=manager_id, removed_at_ms=now_ms)),
    ]
