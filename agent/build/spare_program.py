"""A build program that is ready before it is needed: Python takes longer to load it than many a build takes."""

import asyncio

from agent.build.build_process import BuildProcess
from shoal.errors import Unavailable

IDLE_SECONDS = 300.0
"""After the last build: a node that builds nothing has no program."""


class SparePrograms:
    """Keeps one program ready from a build on and for a while after each. For one event loop.

    Args:
        keeps: otherwise each build starts its own.
    """

    def __init__(self, *, keeps: bool = True, idle_seconds: float = IDLE_SECONDS) -> None:
        self._keeps = keeps
        self._idle_seconds = idle_seconds
        self._spare: BuildProcess | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def acquire(self) -> BuildProcess:
        """A program that nobody else has; the next one is loaded beside it. Raises Unavailable: it does not start."""
        asyncio.get_running_loop().call_soon(self.prepare)
        spare, self._spare = self._spare, None
        if spare is None or not spare.is_running:
            return BuildProcess()
        spare.hurry()
        return spare

    def prepare(self) -> None:
        """Have one ready from now on."""
        if not self._keeps:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._end_spare)
        if self._spare is None or not self._spare.is_running:
            try:
                self._spare = BuildProcess(gives_way=True)
            except Unavailable:  # the next build says so
                self._spare = None

    async def aclose(self) -> None:
        """End the one that is ready."""
        if self._timer is not None:
            self._timer.cancel()
        self._end_spare()
        await asyncio.gather(*self._ending)

    def _end_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            task = asyncio.create_task(spare.end(), name="end of a spare build program")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
