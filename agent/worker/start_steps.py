"""The steps of a run's start, as its runner takes them: what fails ends the run."""

from collections.abc import Awaitable, Callable
from functools import partial

from agent.assignments.assigned_state import required_revision
from agent.disk_full import DiskFull
from agent.worker.container_runtime import Running
from agent.worker.error_handling import describe_error
from agent.worker.interfaces import Image
from agent.worker.live_changes import LiveChanges
from agent.worker.shared.disk_space_waiter import WaitCancelled
from agent.worker.shared.runner_dependencies import RunnerDependencies
from agent.worker.startup.network_attachment import SharedNetworkGone
from agent.worker.startup.preparation import Preparation
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus

Report = Callable[[TaskState.ValueType, str], None]
"""Takes a state, and a line for the user."""
EndRun = Callable[[TaskState.ValueType, str], Awaitable[None]]
"""Ends the run in this final state, for this reason."""


class StartSteps:
    """Of one run of a task.

    Args:
        should_stop: whether the task is not to run any more.
    """

    def __init__(
        self, deps: RunnerDependencies, *, report: Report, end: EndRun, should_stop: Callable[[], bool]
    ) -> None:
        self._report = report
        self._end = end
        self._should_stop = should_stop
        self.preparation = Preparation(deps)
        self.live_changes = LiveChanges(deps)

    async def make(
        self, task: Task, revision: ServiceRevision | None, status: TaskStatus, use_image: Callable[[Image], None]
    ) -> None:
        """Everything but the network. Args: use_image: takes the image as soon as it is here."""
        try:
            known, report = required_revision(revision, task), partial(self._report, TaskState.PREPARING)
            digest = status.image_digest if status.restarts.starting else ""
            await self.preparation.make(task, known, report, use_image, digest=digest)
        except Exception as error:
            await self._reject(task, error)

    async def connect(self, task: Task, revision: ServiceRevision | None) -> None:
        """The network."""
        try:
            known = required_revision(revision, task)
            await self.preparation.connect(task, known)
            self.live_changes.connected(task, known)
        except SharedNetworkGone as error:
            await self._end(TaskState.SHUTDOWN, str(error))
        except Exception as error:
            await self._reject(task, error)

    async def start(
        self, task: Task, revision: ServiceRevision | None, status: TaskStatus, cancelled: WaitCancelled
    ) -> Running | None:
        """The container; None: it did not start."""
        report = partial(self._report, TaskState.STARTING)
        try:
            known = required_revision(revision, task)
            self.live_changes.started(task, known, status)
            return await self.preparation.start(task, known, report=report, cancelled=cancelled)
        except Exception as error:
            if not (isinstance(error, DiskFull) and self._should_stop()):
                await self._reject(task, error)
            return None

    async def _reject(self, task: Task, error: Exception) -> None:
        await self._end(TaskState.REJECTED, describe_error(f"task {task.id}", error))
