"""Follows changes of a running container's limits.

A container's run may get a new revision, which differs from the one before in these alone.
"""

import logging

from agent.worker.container_runtime import Runtime
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.errors import ShoalError

_log = logging.getLogger(__name__)


class LimitChanges:
    """For one task. After a restart of the agent the limits are set once more, since the last change may be missing."""

    def __init__(self, runtime: Runtime, task_id: str) -> None:
        self._runtime = runtime
        self._task_id = task_id
        self._applied = b""

    def started(self, revision: ServiceRevision) -> None:
        """Its container was started with these limits."""
        self._applied = _limits_of(revision)

    def is_due(self, task: Task, revision: ServiceRevision | None) -> bool:
        """Whether its running container has other limits, or may have."""
        return bool(task.container_id) and revision is not None and _limits_of(revision) != self._applied

    async def apply(self, revision: ServiceRevision | None) -> str:
        """Set them; returns a warning for the user, empty if they are in force. It is not tried again."""
        assert revision is not None
        self._applied = _limits_of(revision)
        template = revision.spec.task
        try:
            await self._runtime.set_limits(self._task_id, template.container, template.limits)
        except ShoalError as error:
            _log.warning("%s", error)
            return str(error)
        return ""


def _limits_of(revision: ServiceRevision) -> bytes:
    template = revision.spec.task
    parts = (template.limits, template.container.cpu, template.container.memory)
    return b"\0".join(part.SerializeToString(deterministic=True) for part in parts)
