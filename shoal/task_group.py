"""A task group that never loses a cancellation, for the Pythons before 3.13."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class TaskGroup:
    """As `asyncio.TaskGroup`, with what that promises only from Python 3.13 on.

    Before, a cancellation from outside is lost when it comes while the group ends for an error of its own: the caller
    sees only the error, and a caller that tries again on errors never ends. Here the error is raised, and the caller's
    next `await` is cancelled. The count of `Task.cancelling` is what it was but for cancellations from outside.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._errors: list[Exception] = []
        self._parent: asyncio.Task[Any] | None = None
        self._cancelled_before = 0
        self._leaving = False
        self._cancelling = False
        self._interrupted = False
        self._all_ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._parent = asyncio.current_task()
        assert self._parent is not None
        self._cancelled_before = self._parent.cancelling()
        return self

    def create_task(self, work: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Run it within the group.

        Raises:
            RuntimeError: the group is ending, or has not begun.
        """
        if self._parent is None or self._cancelling or (self._leaving and not self._tasks):
            work.close()
            raise RuntimeError("this group of tasks takes no more")
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._parent is not None
        self._leaving = True
        if self._interrupted:
            self._parent.uncancel()
        if error is not None:
            self._cancel_all()
        cancelled = await self._wait_for_all()
        outside = self._parent.cancelling() > self._cancelled_before
        if error is not None and not isinstance(error, asyncio.CancelledError):
            if not isinstance(error, Exception):
                return  # it continues by itself: the interpreter is ending
            self._errors.append(error)
        if self._errors:
            if outside:
                self._parent.uncancel()
                self._parent.cancel()
            raise ExceptionGroup("tasks of a group failed", self._errors) from None
        if cancelled is not None:
            raise cancelled

    async def _wait_for_all(self) -> asyncio.CancelledError | None:
        """Wait for every task; a cancellation of the caller ends them, and is raised."""
        cancelled = None
        while self._tasks:
            self._all_ended.clear()
            try:
                await self._all_ended.wait()
            except asyncio.CancelledError as reported:
                cancelled = reported
                self._cancel_all()
        return cancelled

    def _cancel_all(self) -> None:
        self._cancelling = True
        for task in self._tasks:
            if not task.done():
                task.cancel()

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._all_ended.set()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Exception):  # others have ended the event loop already
            self._errors.append(error)
        if not self._cancelling:
            self._cancel_all()
            if not self._leaving and self._parent is not None:
                self._interrupted = True
                self._parent.cancel()


async def race(work: Coroutine[None, None, None], watch: Coroutine[None, None, None]) -> None:
    """Run both until the first one ends, then cancel the other."""
    async with TaskGroup() as group:
        tasks = [group.create_task(work), group.create_task(watch)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
