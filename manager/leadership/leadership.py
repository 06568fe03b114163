"""Elects the leader: the manager whose LEADER key exists, under its lease. The key's create revision numbers the term.

A lock alone does not stop a leader that does not know yet that its term is over. So each of its transactions compares
that create revision (`Store.commit(..., fence=...)`), and etcd rejects the writes of a term that is over.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from manager.leadership.leader_probe import Probe, connect_once, until_ended
from manager.leadership.lease import TTL_SECONDS, LeaseLost, held_lease
from manager.store.backend import NO_LEASE, Backend, Compare, CompareTarget, KeyValue, OutcomeUnknown, Put
from manager.store.changes import put as put_record
from manager.store.kinds import LEADER, MANAGER, REGISTERED_MANAGER
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader, Manager, RegisteredManager
from shoal.errors import LeadershipLost, NotFound, Refused, Timeout, Unavailable
from shoal.fault_points.injection import fault
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

Lead = Callable[[int], Awaitable[None]]
"""What the leader runs, given the fence of its term."""
Transfer = Callable[[int], Awaitable[str]]
"""Runs while this manager leads, given the lease of its term; returns the id of the manager that has ended the term."""
RETRY_SECONDS = 0.5
LAPSED_SECONDS = 2.0
"""A manager that was paused, or whose etcd elects a leader, is registered again by then."""


async def never_transfer(_: int) -> str:
    """Lead until the lease is lost."""
    return str(await asyncio.Event().wait())


class Leadership:
    """Runs for leader, and registers this manager in the list of managers.

    Args:
        store: running.
        backend: the store's.
        manager_id: of this manager; no other running manager may have it.
        unfit: why this manager should not lead now; empty: it may.
        ttl_seconds: after a crash, this manager's keys expire after so long.
        probe: tries to connect to another manager.
        transfer: see `LeadershipTransfer.run`.
    """

    def __init__(
        self,
        store: Store,
        backend: Backend,
        manager_id: str,
        *,
        unfit: Callable[[], str] = lambda: "",
        ttl_seconds: int = TTL_SECONDS,
        probe: Probe = connect_once,
        transfer: Transfer = never_transfer,
    ) -> None:
        self._probe = probe
        self._transfer = transfer
        self._store = store
        self._backend = backend
        self._id = manager_id
        self._unfit = unfit
        self._ttl = ttl_seconds
        self._lapsed_at: float | None = None

    async def run(self, lead: Lead) -> None:
        """Stand for election repeatedly; run `lead(fence)` whenever elected, once the tables have everything that
        former leaders wrote. It is cancelled when the term ends. If it returns, the leadership is released and a new
        election starts; if it raises, so does this, except for LeadershipLost, Unavailable and Timeout, which only end
        the term.
        """
        while True:
            await self._until_fit()
            try:
                await self._term(lead)
            except* (LeaseLost, LeadershipLost, Unavailable, Timeout, OutcomeUnknown) as ended:
                _log.warning("lost the leadership: %s", _reasons(ended))
            await asyncio.sleep(RETRY_SECONDS)

    async def register(self, describe: Callable[[], Manager], changed: asyncio.Event) -> None:
        """Keep this manager in the list of managers while this runs; its address stays registered afterwards.

        Args:
            describe: this manager's record as it is now.
            changed: set when it differs; cleared here.
        """
        while True:
            try:
                async with held_lease(self._backend, ttl_seconds=self._ttl) as lease:
                    await self._stay_registered(lease, describe, changed)
            except* (LeaseLost, Unavailable, Timeout, OutcomeUnknown) as ended:
                _log.warning("cannot register this manager: %s", _reasons(ended))
                self._note_lapse()
            await asyncio.sleep(RETRY_SECONDS)

    async def _stay_registered(self, lease: int, describe: Callable[[], Manager], changed: asyncio.Event) -> None:
        """Until cancelled, as when the lease is lost: noted at once, before it is revoked, which may take 2 s."""
        await self._register_address(describe())
        try:
            while True:
                changed.clear()
                manager = describe()
                put = Put(MANAGER.key(manager.id), manager.SerializeToString(), lease)
                await self._store.transact((), (put,))
                self._lapsed_at = None
                await changed.wait()
        finally:
            self._note_lapse()

    def _note_lapse(self) -> None:
        self._lapsed_at = self._lapsed_at or asyncio.get_running_loop().time()

    def check_registered(self) -> None:
        """To others, the nodes of a manager that is not registered have lost their manager.

        Raises:
            Unavailable: this manager's registration expired, and has not been renewed for `LAPSED_SECONDS`.
        """
        if self._lapsed_at is None:
            return
        lapsed = asyncio.get_running_loop().time() - self._lapsed_at
        if lapsed >= LAPSED_SECONDS:
            raise Unavailable(f"this manager's registration expired {lapsed:.0f} s ago, and etcd does not renew it")

    async def check_unique(self, manager: Manager) -> None:
        """Wait until a record of the same id at another address is gone: a manager that moved leaves one until its
        lease expires. One that stays is of a manager that runs, so one of the two state directories is a copy of the
        other's; they would depose each other forever.

        Raises:
            Refused: it stays.
        """
        with self._store.follow() as changes, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self._ttl):
                while self._address_of_other(manager):
                    await anext(changes)
                return
        raise Refused(
            f"manager {manager.id} already runs at {self._address_of_other(manager)}: the state directory of one of "
            "the two is a copy; delete this one, and join the cluster with `shoal-manager run --join`"
        )

    def _address_of_other(self, manager: Manager) -> str:
        other = self._store.tables.managers.get(manager.id)
        return other.api_address if other is not None and other.api_address != manager.api_address else ""

    async def _register_address(self, manager: Manager) -> None:
        registered = self._store.tables.registered_managers.get(manager.id)
        record = RegisteredManager(
            id=manager.id,
            api_address=manager.api_address,
            join_address=manager.join_address,
            version=manager.version,
            registered_at_ms=registered.registered_at_ms if registered is not None else manager.started_at_ms,
            state_format=manager.state_format,
        )
        if registered != record:
            await self._store.commit([put_record(REGISTERED_MANAGER, manager.id, record)])

    async def _until_fit(self) -> None:
        reported = ""
        while problem := self._unfit():
            if not reported:
                _log.error("this manager does not lead: %s", problem)
            reported = problem
            await asyncio.sleep(RETRY_SECONDS)

    async def _term(self, lead: Lead) -> None:
        async with held_lease(self._backend, ttl_seconds=self._ttl) as lease:
            fence = await self._campaign(lease)
            fault("manager.leadership.elected")
            await self._store.reached(fence)
            fault("manager.leadership.caught-up")
            _log.info("elected leader at revision %d", fence)
            async with TaskGroup() as term:
                transferring = term.create_task(self._until_transferred(lease), name="transfer of the leadership")
                await lead(fence)
                transferring.cancel()

    async def _until_transferred(self, lease: int) -> None:
        ended_by = await self._transfer(lease)
        raise LeadershipLost(f"this manager's etcd does not respond; manager {ended_by} has ended its term")

    async def end_term(self, manager_id: str, lease: int) -> None:
        """End the term of another manager at its own request.

        Raises:
            NotFound: it does not lead. Unavailable: etcd does not respond here either.
        """
        leader = self._store.tables.leader
        if leader is None or leader.manager_id != manager_id:
            raise NotFound(f"manager {manager_id} does not lead")
        await self._backend.revoke(lease)
        _log.warning("ended the term of manager %s: its etcd does not respond", manager_id)

    async def _campaign(self, lease: int) -> int:
        """Wait until this manager has the leader's key; returns its create revision."""
        with self._store.follow() as changes:
            while True:
                key = LEADER.key("")
                value = Leader(manager_id=self._id).SerializeToString()
                outcome = await self._store.transact(
                    (Compare(key, CompareTarget.CREATED_AT, 0),), (Put(key, value, lease),)
                )
                if outcome.succeeded:
                    return outcome.revision
                holder = outcome.found[key]
                if Leader.FromString(holder.value).manager_id == self._id and holder.lease != NO_LEASE:
                    await self._backend.revoke(
                        holder.lease
                    )  # From a previous process: it cannot write without the key.
                    continue
                await self._store.reached(holder.mod_revision)
                async with self._probing(holder):
                    while self._store.tables.leader is not None:
                        await anext(changes)

    @asynccontextmanager
    async def _probing(self, holder: KeyValue) -> AsyncGenerator[None]:
        """Meanwhile, take the lease of a leader whose process has ended."""
        probing = asyncio.create_task(self._end_term_of_ended(holder), name="probe of the leader")
        try:
            yield
        finally:
            probing.cancel()
            await asyncio.wait((probing,))

    async def _end_term_of_ended(self, holder: KeyValue) -> None:
        leader = self._store.tables.managers.get(Leader.FromString(holder.value).manager_id)
        if leader is None or holder.lease == NO_LEASE:
            return
        await until_ended(leader.api_address, probe=self._probe)
        _log.warning("manager %s leads but its process has ended; its term ends now", leader.id)
        try:
            await self._backend.revoke(holder.lease)
        except Unavailable as error:
            _log.warning("cannot end the term of manager %s; its lease will expire: %s", leader.id, error)


def _reasons(group: BaseExceptionGroup[Exception]) -> str:
    """The messages of all errors in a group, in one line."""
    return "; ".join(_reasons(each) if isinstance(each, BaseExceptionGroup) else str(each) for each in group.exceptions)
