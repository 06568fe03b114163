"""Deduplicates concurrent calls: calls with the same key share one run."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from agent.worker.interfaces import Report

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class _Flight(Generic[Result]):
    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.task: asyncio.Task[Result] | None = None
        self.is_ending = False
        """It was cancelled."""

    @property
    def is_done(self) -> bool:
        return self.task is None or self.task.done()

    def report(self, line: str) -> None:
        for report in tuple(self.reports):
            report(line)


class SingleFlight(Generic[Key, Result]):
    """One run for each key at a time. It ends with the last caller: when all are cancelled, so is the work."""

    def __init__(self) -> None:
        self._runs: dict[Key, _Flight[Result]] = {}

    @property
    def is_active(self) -> bool:
        """Whether any work is in progress."""
        return bool(self._runs)

    async def run(self, key: Key, report: Report, work: Callable[[Report], Coroutine[Any, Any, Result]]) -> Result:
        """The result of the run for `key` that is in progress, or of a new one. Raises what the work raises.

        A run that was cancelled is awaited first: two of them would write to the same files.
        """
        while (run := self._runs.get(key)) is not None and run.is_ending and not run.is_done:
            assert run.task is not None
            await asyncio.wait([run.task])
        if run is None or run.is_done:
            run = self._runs[key] = _Flight()
            run.task = asyncio.create_task(work(run.report), name=f"images: {key}")
        assert run.task is not None
        run.reports.append(report)
        try:
            return await asyncio.shield(run.task)
        finally:
            run.reports.remove(report)
            if not run.reports:
                await self._leave(key, run)

    async def _leave(self, key: Key, run: _Flight[Result]) -> None:
        assert run.task is not None
        if not run.task.done():
            run.is_ending = True
            run.task.cancel()
            run.task.add_done_callback(lambda _: self._forget(key, run))
            await asyncio.wait([run.task])
        self._forget(key, run)
        if not run.task.cancelled():
            # The last caller was cancelled, so nobody awaits the failure; retrieve it, or asyncio logs it.
            run.task.exception()

    def _forget(self, key: Key, run: _Flight[Result]) -> None:
        if self._runs.get(key) is run:
            del self._runs[key]
