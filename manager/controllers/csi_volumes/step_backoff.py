"""Backoff of failed steps, for each driver call of a volume, longer each time."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from manager.controllers.csi_volumes.next_volume_step import DriverCall, WriteStatus

MIN_SECONDS = 0.5
MAX_SECONDS = 60.0

_Key = tuple[str, str]


class StepBackoff:
    """The backoff of one volume's steps."""

    def __init__(self) -> None:
        self._failures: dict[_Key, int] = {}
        self._due: dict[_Key, float] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something has changed: `wait` returns."""
        self._wake.set()

    def reset(self) -> None:
        """Make every step due now."""
        self._due.clear()
        self._wake.set()

    def is_due(self, step: WriteStatus | DriverCall) -> bool:
        """Whether it may be done now."""
        return self._due.get(_key(step), 0.0) <= asyncio.get_running_loop().time()

    def failures(self, step: WriteStatus | DriverCall) -> int:
        """How often it has failed in a row."""
        return self._failures.get(_key(step), 0)

    def succeeded(self, step: WriteStatus | DriverCall) -> None:
        self._failures.pop(_key(step), None)
        self._due.pop(_key(step), None)

    def failed(self, step: WriteStatus | DriverCall) -> None:
        key = _key(step)
        self._failures[key] = count = self._failures.get(key, 0) + 1
        pause = min(MAX_SECONDS, MIN_SECONDS * 2 ** min(count - 1, 10))
        self._due[key] = asyncio.get_running_loop().time() + pause

    async def wait(self, steps: Iterable[WriteStatus | DriverCall]) -> None:
        """Until one of the steps is due, or `wake` was called."""
        until = min(self._due.get(_key(step), 0.0) for step in steps)
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wake.wait()


def _key(step: WriteStatus | DriverCall) -> _Key:
    return (step.method.name, step.node_id) if isinstance(step, DriverCall) else ("", "")
