"""Lifecycle hooks of a task: `post_start` before it counts as running, `pre_stop` before its stop signal.

Completion is not persisted: after a restart, the agent runs them again if the task is still starting or stopping. Each
wait is bounded, so that no hook can keep a task from stopping.
"""

import asyncio
from typing import Protocol

from agent.health.exec_pool import ExecResult
from agent.worker.interfaces import Report
from agent.worker.status_update import MAX_MESSAGE
from shoal.api.v1.container_pb2 import ContainerSpec, Hook
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.errors import NotFound, ShoalError
from shoal.one_line import one_line

POST_START_SECONDS = 300.0
"""Timeout of one post_start hook; the specification has no limit, but a task must not be starting forever."""


class HookRunner(Protocol):
    """Runs hooks; `Runtime` is one."""

    async def run_hook(self, task_id: str, hook: Hook) -> ExecResult:
        """As `Runtime.run_hook`."""
        ...


class LifecycleHooks:
    """The lifecycle hooks of one task.

    Attributes:
        failure: why the container must stop; empty while no post_start hook has failed.
        warning: failure of a pre_stop hook, for the user.
    """

    def __init__(self, runner: HookRunner, task_id: str) -> None:
        self._runner = runner
        self._task_id = task_id
        self._post_start_done = self._pre_stop_done = False
        self.failure = self.warning = ""

    def post_start_due(self, revision: ServiceRevision | None) -> bool:
        """Whether there are post_start hooks that have not been run."""
        return not self._post_start_done and len(_container(revision).post_start) > 0

    def pre_stop_due(self, revision: ServiceRevision | None) -> bool:
        """Whether there are pre_stop hooks that have not been run."""
        return not self._pre_stop_done and len(_container(revision).pre_stop) > 0

    async def post_start(self, revision: ServiceRevision | None, report: Report) -> None:
        """Run them, up to the first one that fails. If the container exits meanwhile, they stay due."""
        hooks = _container(revision).post_start
        for number, hook in enumerate(hooks, 1):
            report(f"running post_start hook {number} of {len(hooks)}")
            why = await self._run(hook, POST_START_SECONDS)
            if why is None:
                return
            if why:
                self.failure = f"post_start hook {number} ({hook.command[0]}): {why}"
                break
        self._post_start_done = True

    async def pre_stop(self, revision: ServiceRevision | None, seconds: float, report: Report) -> None:
        """Run all of them within a total time; then they are done, whether they succeeded or not."""
        self._pre_stop_done = True
        loop = asyncio.get_running_loop()
        hooks, end = _container(revision).pre_stop, loop.time() + seconds
        for number, hook in enumerate(hooks, 1):
            report(f"running pre_stop hook {number} of {len(hooks)}")
            if why := await self._run(hook, max(0.0, end - loop.time())):
                self.warning = one_line(f"pre_stop hook {number} ({hook.command[0]}): {why}", MAX_MESSAGE)

    async def _run(self, hook: Hook, seconds: float) -> str | None:
        """The failure, one line; empty on success, None if the container has exited."""
        try:
            async with asyncio.timeout(seconds):
                done = await self._runner.run_hook(self._task_id, hook)
        except TimeoutError:
            return f"timed out after {seconds:.3g} s and was killed"
        except NotFound:
            return None
        except ShoalError as error:
            return str(error)
        if not done.code:
            return ""
        last = done.output.decode(errors="replace").strip().rpartition("\n")[2].strip()
        return f"exit code {done.code}" + (f": {last}" if last else "")


def _container(revision: ServiceRevision | None) -> ContainerSpec:
    return revision.spec.task.container if revision is not None else ContainerSpec()
