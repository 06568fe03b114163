"""Whether this manager's wall clock can be trusted to lead, compared with the other managers' clocks.

Deadlines of updates, nodes that are given up and schedules are by the leader's wall clock: one that is ahead rolls
updates back and gives nodes up. So a manager whose clock is off does not lead while another one could.
"""

import asyncio
import logging
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from manager.store.changes import Change, put
from manager.store.kinds import MANAGER_CLOCK
from manager.store.record_store import BatchStore
from shoal.api.v1.cluster_pb2 import ManagerClock
from shoal.errors import LeadershipLost, Timeout, Unavailable
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

MAX_OFFSET_MS = 5_000
WRITE_SECONDS = 10.0
SAMPLES = 3
"""Of each clock. A delay makes the other clock look slower, so the greatest of the last ones is the nearest.

Where all of them are late, since this manager or its etcd is busy, so are its own writes: the time that they take to be
applied here is no difference of clocks.
"""


def offset_of_own_clock(others_ms: Mapping[str, int]) -> int:
    """By how many milliseconds this manager's clock is ahead of what most managers have; 0 if it is among them.

    Of an even number the slower half counts: of two that differ, the one that is ahead is taken to be wrong, as it
    would do the greater damage.

    Args:
        others_ms: by how much each other manager's clock is ahead of this one's.
    """
    median = statistics.median_low([0, *others_ms.values()])
    return -median if abs(median) > MAX_OFFSET_MS else 0


class ClockComparison:
    """Writes this manager's clock, and compares it with the others'.

    Args:
        now_ms: milliseconds since the Unix epoch.
        seconds: a clock that is never set.
    """

    def __init__(
        self,
        *,
        store: BatchStore,
        manager_id: str,
        now_ms: Callable[[], int],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._id = manager_id
        self._now_ms = now_ms
        self._seconds = seconds
        self._delay_seconds = 0.0
        self._written_at: float | None = None
        self._samples: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=SAMPLES))

    async def run(self) -> None:
        """Until cancelled, on every manager."""
        with self._store.follow() as changes:
            async with TaskGroup() as group:
                group.create_task(self._write_forever(), name="clock")
                async for batch in changes:
                    self.sample(batch)

    def sample(self, changes: Iterable[Change]) -> None:
        """Compare clocks that have just been written."""
        for change in changes:
            if isinstance(change.new, ManagerClock) and change.identifier != self._id:
                ahead_ms = change.new.at_ms - self._now_ms()
                late_ms = min(self._delay_ms(), max(0, -ahead_ms))
                self._samples[change.identifier].append(ahead_ms + late_ms)

    def _delay_ms(self) -> int:
        """How long a write takes until it is applied here: the last one, or the one that is not yet."""
        pending = self._seconds() - self._written_at if self._written_at is not None else 0.0
        return int(1000 * max(self._delay_seconds, pending))

    def problem(self) -> str:
        """Why this manager should not lead; empty: it may."""
        running = self._store.tables.managers
        others = {each: max(samples) for each, samples in self._samples.items() if each in running}
        offset = offset_of_own_clock(others)
        if not offset:
            return ""
        direction = "ahead of" if offset > 0 else "behind"
        return (
            f"this host's clock is {timedelta(milliseconds=abs(offset))} {direction} the other managers'; "
            "check its time synchronization"
        )

    async def watch_own_clock(self) -> None:
        """While this manager leads. Raises LeadershipLost: its clock is off, and another manager can lead."""
        while True:
            if problem := self.problem():
                raise LeadershipLost(problem)
            await asyncio.sleep(1)

    async def _write_forever(self) -> None:
        while True:
            try:
                if len(self._store.tables.managers) < 2:
                    await asyncio.sleep(WRITE_SECONDS)  # There is nobody to compare it with.
                    continue
                await self._write()
            except (Unavailable, Timeout, TimeoutError) as error:
                _log.debug("cannot write this manager's clock: %s", error)
            await asyncio.sleep(WRITE_SECONDS)

    async def _write(self) -> None:
        """Once; measure how long it takes until all that was written before is applied here too.

        Raises:
            TimeoutError: that takes long. Unavailable, Timeout: as `BatchStore.commit`.
        """
        if self._written_at is None:
            self._written_at = self._seconds()
        clock = ManagerClock(manager_id=self._id, at_ms=self._now_ms())
        revision = await self._store.commit([put(MANAGER_CLOCK, self._id, clock)])
        async with asyncio.timeout(WRITE_SECONDS):
            await self._store.reached(revision)
        self._delay_seconds = self._seconds() - self._written_at
        self._written_at = None
