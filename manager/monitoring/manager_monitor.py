"""A manager's health and metrics, read when somebody asks."""

import asyncio
import time
from collections.abc import Callable, Sequence

from manager.etcd.client import Etcd
from manager.etcd.maintenance import MemberStatus
from manager.monitoring.cluster_gauges import cluster_families, task_family
from manager.monitoring.etcd_gauges import etcd_families
from manager.store.store import Store
from shoal.errors import ShoalError
from shoal.identity.identity import Identity
from shoal.metrics.families import MetricFamily, gauge
from shoal.monitoring.certificate_expiry import certificate_expiry
from shoal.monitoring.health import HealthCheck

CHECK_SECONDS = 2.0
KEPT_SECONDS = 2.0
"""Answers of etcd and counts of tasks serve for so long, however often somebody asks."""
NO_LEADER_SECONDS = 15.0
"""An election takes less; a manager that starts has seen no leader for as long as it runs."""


class ManagerMonitor:
    """Everything that a manager can be asked about itself.

    Args:
        sessions: how many agents are connected to this manager.
        quota_bytes: of the manager's own etcd; 0: it has none.
    """

    def __init__(
        self,
        *,
        store: Store,
        etcd: Etcd,
        manager_id: str,
        sessions: Callable[[], int],
        identity: Callable[[], Identity],
        quota_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._etcd = etcd
        self._manager_id = manager_id
        self._sessions = sessions
        self._identity = identity
        self._quota_bytes = quota_bytes
        self._clock = clock
        self._leader_seen = clock()
        self._members: tuple[float, Sequence[MemberStatus]] | None = None
        self._tasks: tuple[float, MetricFamily] | None = None
        self._lock = asyncio.Lock()

    async def checks(self) -> Sequence[HealthCheck]:
        """Whether the event loop, the tables and etcd serve."""
        return [
            HealthCheck("process", is_vital=True),
            HealthCheck("etcd", await self._etcd_problem()),
            HealthCheck("leader", self._leader_problem()),
        ]

    async def collect(self) -> Sequence[MetricFamily]:
        """All gauges."""
        members = await self._statuses()
        identity = self._identity()
        certificates = {"manager": identity.certificate, "ca": identity.ca}
        return [
            *cluster_families(self._store, self._manager_id),
            await self._task_family(),
            *etcd_families(members, connected=any(each.version for each in members), quota_bytes=self._quota_bytes),
            gauge("shoal_manager_sessions", "Agents that are connected to this manager.", self._sessions()),
            certificate_expiry(certificates),
        ]

    async def _etcd_problem(self) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._etcd.read([])
        except (ShoalError, TimeoutError) as error:
            return str(error) or f"no response from etcd within {CHECK_SECONDS:g} s"
        return ""

    def _leader_problem(self) -> str:
        if self._store.tables.leader is not None:
            self._leader_seen = self._clock()
        away = self._clock() - self._leader_seen
        return "" if away < NO_LEADER_SECONDS else "no manager leads: nothing is planned"

    async def _statuses(self) -> Sequence[MemberStatus]:
        """Of etcd's members; empty where none answers in time."""
        async with self._lock:
            if self._members is None or self._clock() - self._members[0] > KEPT_SECONDS:
                found: Sequence[MemberStatus] = ()
                try:
                    async with asyncio.timeout(CHECK_SECONDS):
                        found = await self._etcd.maintenance.status()
                except (ShoalError, TimeoutError):
                    found = ()
                self._members = self._clock(), found
            return self._members[1]

    async def _task_family(self) -> MetricFamily:
        """Counted in a thread: a million take a second."""
        if self._tasks is None or self._clock() - self._tasks[0] > KEPT_SECONDS:
            tables = self._store.tables
            family = await asyncio.to_thread(task_family, len(tables.tasks), list(tables.task_status.values()))
            self._tasks = self._clock(), family
        return self._tasks[1]
