"""Follows changes of a running container: its limits, and the networks that it is on.

A container's run may get a new revision, which differs from the one before in these, and in its name, alone.
"""

import logging
from functools import partial

from agent.worker.error_handling import describe_error
from agent.worker.monitoring.container_monitor import StatusChange, set_revision
from agent.worker.shared.runner_dependencies import RunnerDependencies
from agent.worker.startup.network_attachment import change_network
from shoal.api.v1.service_pb2 import ServiceRevision, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.errors import NotFound

_log = logging.getLogger(__name__)


class LiveChanges:
    """For one task. After a restart of the agent all of it is applied again, since the last change may be missing."""

    def __init__(self, deps: RunnerDependencies) -> None:
        self._deps = deps
        self._connected_revision = 0
        self._is_known = False
        self._networks = self._limits = b""

    def connected(self, task: Task, revision: ServiceRevision) -> None:
        """Its network was made ready as this task has it."""
        self._connected_revision = task.revision
        self._networks = _networks_of(task, revision.spec.task)

    def started(self, task: Task, revision: ServiceRevision, status: TaskStatus) -> None:
        """Its container was started with these limits."""
        self._limits, self._is_known = _limits_of(revision.spec.task), True
        if task.container_id:
            status.revision = self._connected_revision
            status.link.CopyFrom(self._deps.networks.task_link(task.id))

    def is_due(self, task: Task, status: TaskStatus, revision: ServiceRevision | None) -> bool:
        """Whether its running container may differ from its revision."""
        may_differ = not self._is_known or task.revision != status.revision
        return bool(task.container_id) and revision is not None and may_differ

    async def apply(self, task: Task, status: TaskStatus, revision: ServiceRevision | None) -> StatusChange | None:
        """Make the container what its revision says; the change of its status, if any. What fails is not tried again
        by this process."""
        assert revision is not None
        self._is_known = True
        template, warnings = revision.spec.task, list[str]()
        if (limits := _limits_of(template)) != self._limits:
            self._limits = limits
            try:
                await self._deps.runtime.set_limits(task.id, template.container, template.limits)
            except Exception as error:
                why = describe_error(f"limits of task {task.id}", error)
                _log.warning("%s", why)
                warnings.append(why)
        if (networks := _networks_of(task, template)) != self._networks:
            self._networks = networks
            try:
                await change_network(self._deps, task, template)
            except NotFound:
                _log.info("task %s ended while its networks changed", task.id)
            except Exception as error:
                why = describe_error(f"networks of task {task.id}", error)
                _log.warning("networks of task %s: %s", task.id, why)
                warnings.append(f"its networks could not be changed: {why}")
        if not warnings and status.revision == task.revision:
            return None
        link = self._deps.networks.task_link(task.id)
        return partial(set_revision, revision=task.revision, link=link, warning="; ".join(warnings))


def _limits_of(template: TaskTemplate) -> bytes:
    parts = (template.limits, template.container.cpu, template.container.memory)
    return b"\0".join(part.SerializeToString(deterministic=True) for part in parts)


def _networks_of(task: Task, template: TaskTemplate) -> bytes:
    parts = (*task.addresses, *template.networks, *template.container.links)
    return b"\0".join(part.SerializeToString(deterministic=True) for part in parts)
