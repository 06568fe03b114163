"""The planner's loop while this manager leads: follow the store, plan, commit with the term's fence."""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress

from manager.change_spans import record_plan
from manager.planner.gc_pause import gc_paused
from manager.planner.incremental_planner import IncrementalPlanner
from manager.planner.pass_pacing import PassPacing, only_task_statuses
from manager.planner.spec.task_owners import owner_name
from manager.store.backend import NoSpace
from manager.store.plan_sequence import SequencedCommits
from manager.store.record_store import BatchStore
from manager.store.subscription import Subscription
from shoal import ids
from shoal.errors import Timeout, Unavailable
from shoal.fault_points.injection import fault
from shoal.ids import NewId
from shoal.metrics.instruments import Counter, Histogram
from shoal.telemetry.tracing import now_ns

_log = logging.getLogger(__name__)

_PASS_SECONDS = Histogram("shoal_planner_pass_seconds", "Duration of a pass of the planner.")
_COMMIT_SECONDS = Histogram("shoal_planner_commit_seconds", "Duration of committing a plan to etcd.")
_WRITES = Counter("shoal_planner_writes", "Writes of plans that were committed.")
_FAILURES = Counter(
    "shoal_planner_failures", "Plans that were not committed, and services left out of one.", ("reason",)
)

FULL_PASS_SECONDS = 60.0
"""A lost change is noticed after so long, whatever becomes of the wall clock."""
_RETRY_SECONDS = 0.5
_NO_SPACE_RETRY_SECONDS = 5.0
"""The store has to be compacted first."""


class Planner:
    """Plans while it runs.

    Args:
        store: loaded; the planner is the only writer of tasks, allocations and service statuses.
        clock: milliseconds since the Unix epoch.
        new_id: ids of new tasks.
    """

    def __init__(self, *, store: BatchStore, clock: Callable[[], int], new_id: NewId = ids.new_id) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._pacing = PassPacing()

    async def run(self, fence: int) -> None:
        """Plan at each change, when a service is due, and everything at the beginning and every minute.

        Args:
            fence: the term's number.

        Raises:
            LeadershipLost: the term is over.
        """
        with self._store.follow() as changes:
            planner = IncrementalPlanner(self._store.tables)
            commits = SequencedCommits(store=self._store, fence=fence)
            full_at = _seconds() + FULL_PASS_SECONDS
            while True:
                retry = await self._pass(planner, commits, changes)
                await self._wait(changes, planner, min(full_at - _seconds(), self._seconds_until_due(planner), retry))
                if _seconds() >= full_at:
                    await self._audit(changes, planner)
                    full_at = _seconds() + FULL_PASS_SECONDS

    def _seconds_until_due(self, planner: IncrementalPlanner) -> float:
        at_ms = planner.next_due_ms()
        return (at_ms - self._clock()) / 1000 if at_ms is not None else math.inf

    async def _pass(self, planner: IncrementalPlanner, commits: SequencedCommits, changes: Subscription) -> float:
        """Plan and commit once; after how many seconds to try again: never, unless the store was unavailable."""
        try:
            await commits.barrier()
        except (Unavailable, Timeout) as error:
            _log.warning("planning is paused until the result of the last commit is known: %s", error)
            return _retry_seconds(error)
        planner.observe(changes.pending_changes())
        began, began_ns = _seconds(), now_ns()
        with gc_paused():
            result = planner.plan(now_ms=self._clock(), new_id=self._new_id)
        ended = _seconds()
        self._pacing.record_pass(began, ended)
        _PASS_SECONDS.observe(ended - began)
        if result.quarantined:
            _FAILURES.add("service", by=len(result.quarantined))
        for service_id, cause in result.quarantined.items():
            name = owner_name(self._store.tables, service_id)
            kind = name.partition(" ")[0]
            _log.error("planning of %s failed; the %s was left unchanged", name, kind, exc_info=cause)
        if not result.writes:
            return math.inf
        fault("manager.plan.decided")
        try:
            await commits.commit(result.writes)
        except (Unavailable, Timeout) as error:
            _log.warning("a plan of %d writes was not fully committed: %s", len(result.writes), error)
            _FAILURES.add("commit")
            planner.request_full_pass()
            return _retry_seconds(error)
        fault("manager.plan.committed")
        _COMMIT_SECONDS.observe(_seconds() - ended)
        _WRITES.add(by=len(result.writes))
        record_plan(self._store.tables, result.writes, began_ns)
        _log.debug("committed a plan of %d writes", len(result.writes))
        return math.inf

    async def _wait(self, changes: Subscription, planner: IncrementalPlanner, seconds: float) -> None:
        # The plan's own writes are already in the subscription, so they are observed before the next pass.
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                batch = await anext(changes)
                planner.observe(batch)
                if only_task_statuses(batch) and (rest := self._pacing.remaining(_seconds())):
                    await self._collect_statuses(changes, planner, rest)
        except TimeoutError:
            # A change may have come at the very moment of the timeout.
            planner.observe(changes.pending_changes())

    async def _collect_statuses(self, changes: Subscription, planner: IncrementalPlanner, seconds: float) -> None:
        """Observe changes for so long, or until one is not a status."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for batch in changes:
                    planner.observe(batch)
                    if not only_task_statuses(batch):
                        return

    async def _audit(self, changes: Subscription, planner: IncrementalPlanner) -> None:
        """Compare the indexes with the store, with pauses for other work; a million tasks take 0.6 s in all."""
        for _ in planner.audit():
            await asyncio.sleep(0)
        planner.observe(changes.pending_changes())
        planner.repair()


def _retry_seconds(error: Unavailable | Timeout) -> float:
    return _NO_SPACE_RETRY_SECONDS if isinstance(error, NoSpace) else _RETRY_SECONDS


def _seconds() -> float:
    return asyncio.get_running_loop().time()
