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
        """The result of the run for `key` that is in progress, or of a new one. Raises what the work raises."""
        run = self._runs.get(key)
        if run is None or run.task is None or run.task.done():
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
        if self._runs.get(key) is run:
            del self._runs[key]
        assert run.task is not None
        if not run.task.done():
            run.task.cancel()
            await asyncio.wait([run.task])
        if not run.task.cancelled():
            # The last caller was cancelled, so nobody awaits the failure; retrieve it, or asyncio logs it.
            run.task.exception()
