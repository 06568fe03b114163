"""Networks of tasks that have no container: the commands of a build use them.

Such a task runs until its build has ended. One whose build never comes ends by itself, so that it outlives no manager
that made it. All of this is lost with this process, as builds are.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

from agent.worker.container_runtime import Exit, OnExit, Running
from agent.worker.sandbox import Sandbox
from shoal.errors import NotFound

UNUSED_SECONDS = 60.0
"""A build is sent as soon as its network runs."""


class BuildSandboxes:
    """Call from the event loop.

    Args:
        on_exit: takes the end of a task, as of a container that exits.
    """

    def __init__(self, on_exit: OnExit, now_ms: Callable[[], int]) -> None:
        self._on_exit = on_exit
        self._now_ms = now_ms
        self._held: dict[str, Sandbox] = {}
        self._used: set[str] = set()

    def hold(self, task_id: str, sandbox: Sandbox) -> Running:
        """The network of a task is ready: the task runs. Takes the descriptor."""
        self._held[task_id] = sandbox
        if task_id not in self._used:
            asyncio.get_running_loop().call_later(UNUSED_SECONDS, self._end_unused, task_id)
        return Running(pid=0, started_ms=self._now_ms())

    def use(self, task_id: str) -> None:
        """A build on this node has come that uses it, until `end`."""
        self._used.add(task_id)

    def open(self, task_id: str) -> Sandbox:
        """The network of a task; its descriptor belongs to the caller. Raises NotFound: the task has ended."""
        if (sandbox := self._held.get(task_id)) is None:
            raise NotFound("the network of this build is not there any more")
        return replace(sandbox, netns_fd=os.dup(sandbox.netns_fd))

    def end(self, task_id: str) -> bool:
        """The build has ended, or the task has to; whether it was one of these. Idempotent."""
        self._used.discard(task_id)
        if (sandbox := self._held.pop(task_id, None)) is None:
            return False
        os.close(sandbox.netns_fd)
        self._on_exit(task_id, Exit(0, oom_killed=False, at_ms=self._now_ms()))
        return True

    def _end_unused(self, task_id: str) -> None:
        if task_id not in self._used:
            self.end(task_id)
