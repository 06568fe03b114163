"""One stream from the managers, and from it one for each browser: a snapshot, then increments.

Each increment is made and encoded once for all browsers, and kept for a while. A browser holds a position and no queue:
one that reads too slowly gets a snapshot in place of what it has missed. A snapshot comes in parts, so that a page
shows something before it has everything, and is encoded once for browsers that come at about the same time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import islice

from console.feed.cluster_rows import ClusterRows, Part
from console.json_text import encode
from shoal.api.v1.control_pb2 import ClusterChanges
from shoal.errors import ShoalError, Unavailable
from shoal.notifier import Notifier

KEPT = 256
"""Increments: 13 s at the managers' pace of 50 ms."""
REUSED = 40
"""A snapshot that so many increments have followed is sent still, and they after it: 2 s."""
_FIRST_DELAY, _LONGEST_DELAY = 0.25, 2.0

_log = logging.getLogger(__name__)

Watch = Callable[[], AsyncGenerator[ClusterChanges]]


class LiveFeed:
    """The cluster as it is now. `run` keeps it so; `messages` is what one browser gets.

    Args:
        watch: begins a WatchCluster call.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._rows: ClusterRows | None = None
        self._first = 0
        """Position of the first increment that fits the newest snapshot or is kept."""
        self._increments: deque[str] = deque()
        self._snapshot: _Snapshot | None = None
        self._problem = "connecting to the cluster"
        self._delay = _FIRST_DELAY
        self._notifier = Notifier()

    @property
    def rows(self) -> ClusterRows:
        """What is known of the cluster.

        Raises:
            Unavailable: nothing yet.
        """
        if self._rows is None:
            raise Unavailable(self._problem or "connecting to the cluster")
        return self._rows

    async def run(self) -> None:
        """Follow the managers until cancelled; another manager, or the same later, when one fails."""
        while True:
            try:
                await self._follow()
                self._report("the manager has ended the stream")
            except ShoalError as error:
                self._report(str(error))
            await asyncio.sleep(self._delay)
            self._delay = min(self._delay * 2, _LONGEST_DELAY)

    async def _follow(self) -> None:
        """One call, until it ends. What is known stays until the snapshot of the new call is complete."""
        fresh, complete = ClusterRows(), False
        async with aclosing(self._watch()) as responses:
            async for response in responses:
                changed_rows = fresh.apply(response)
                if complete and changed_rows:
                    self._add(encode({"type": "changes", **changed_rows}))
                elif response.complete:
                    complete, self._delay = True, _FIRST_DELAY
                    self._begin(fresh)

    def _begin(self, rows: ClusterRows) -> None:
        """Use a new snapshot: increments of the one before fit it no more."""
        self._rows, self._problem = rows, ""
        self._first += len(self._increments) + 1
        self._increments.clear()
        self._snapshot = None
        self._notifier.notify()

    def _add(self, increment: str) -> None:
        self._increments.append(increment)
        if len(self._increments) > KEPT:
            self._increments.popleft()
            self._first += 1
        self._notifier.notify()

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            _log.warning("no news of the cluster: %s", problem)
        self._problem = problem
        self._notifier.notify()

    async def messages(self) -> AsyncGenerator[str]:
        """What one browser gets, forever: whether the managers answer, a snapshot, then increments."""
        position, reported = -1, None
        while True:
            changed = self._notifier.wakeup()
            if reported != self._problem:
                reported = self._problem
                yield encode({"type": "connection", "problem": reported})
            if self._rows is not None and position < self._first:
                snapshot = self._newest_snapshot(self._rows)
                position = snapshot.position
                for number in range(len(snapshot.parts)):
                    yield snapshot.part(number)
            elif self._rows is not None and position < self._first + len(self._increments):
                for increment in list(islice(self._increments, position - self._first, None)):
                    position += 1
                    yield increment
                    if position < self._first:
                        break
            else:
                await changed.wait()

    def _newest_snapshot(self, rows: ClusterRows) -> "_Snapshot":
        """The one of a moment ago, as long as all increments since then are there; else a new one."""
        newest = self._first + len(self._increments)
        if self._snapshot is None or self._snapshot.position < max(self._first, newest - REUSED):
            self._snapshot = _Snapshot(newest, rows.parts())
        return self._snapshot


class _Snapshot:
    """Parts of the cluster, each encoded when it is first sent.

    A part may be newer than the snapshot's position: the increments that follow say the same again.

    Args:
        position: of the first increment that follows.
    """

    def __init__(self, position: int, parts: list[Part]) -> None:
        self.position = position
        self.parts = parts
        self._encoded: list[str] = []

    def part(self, number: int) -> str:
        """A message. They are asked for in order."""
        if number == len(self._encoded):
            self._encoded.append(encode(self.parts[number]()))
        return self._encoded[number]
