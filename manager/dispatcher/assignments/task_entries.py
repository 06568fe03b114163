"""Tasks as they are assigned to agents, and their endpoints. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from shoal import task_states
from shoal.api.v1.dispatcher_pb2 import Aliases, EndpointPort, TaskEndpoint
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus


@dataclass(frozen=True)
class TaskEntry:
    """A task as the index last read it.

    Attributes:
        task: as it is sent to the agent: an ended task has the `state` observed at its end, so that an agent
            which lost its journal does not run it a second time.
        live: it has not ended; an ended task needs neither revision nor network.
        endpoint: how others reach it on all its networks; None if it is on none, or has ended.
        networks: ids of the networks on which it is reached.
    """

    task: Task
    live: bool
    endpoint: TaskEndpoint | None
    networks: frozenset[str] = frozenset()

    @property
    def is_removable(self) -> bool:
        """The agent has nothing left to do or keep: it may delete the task and its log."""
        return not self.live and (self.task.desired_state >= TaskState.REMOVE or self.task.state == TaskState.ORPHANED)

    @property
    def is_stopping(self) -> bool:
        """It must stop, and nodes may still route clients to it."""
        return self.endpoint is not None and not task_states.should_run(self.task) and not self.task.withdrawn

    @property
    def revision_key(self) -> str:
        """Of the revision that it runs."""
        return f"{self.task.service_id}/{self.task.revision}"


def task_entry(
    task: Task, status: TaskStatus | None, revision: ServiceRevision | None, *, withdrawn: bool
) -> TaskEntry:
    """The entry of a task that has a node.

    Args:
        withdrawn: every node has withdrawn its endpoint.
    """
    if not task_states.is_live(task, status):
        return TaskEntry(_ended(task, status), live=False, endpoint=None)
    endpoint = endpoint_of(task, status, revision) if task.addresses else None
    networks = _shared(frozenset(place.network_id for place in task.addresses))
    # Connections of a container are not drained: its user wants it stopped.
    withdrawn = withdrawn or (bool(task.container_id) and not task_states.should_run(task))
    return TaskEntry(_withdrawn_task(task) if withdrawn else task, live=True, endpoint=endpoint, networks=networks)


def as_withdrawn(entry: TaskEntry) -> TaskEntry:
    """The entry of a task once every node has withdrawn its endpoint."""
    return replace(entry, task=_withdrawn_task(entry.task)) if entry.live else entry


@lru_cache(maxsize=4096)
def _shared(networks: frozenset[str]) -> frozenset[str]:
    """The same object for all tasks on the same networks, which saves memory."""
    return networks


def endpoint_of(task: Task, status: TaskStatus | None, revision: ServiceRevision | None) -> TaskEndpoint:
    """How a live task is reached. A stopping task keeps its routes until it has ended, but no name resolves to it."""
    endpoint = TaskEndpoint(
        task_id=task.id,
        service_id=task.service_id,
        slot=task.slot,
        node_id=task.node_id,
        addresses=task.addresses,
        ready=task_states.should_run(task) and _answers(task, status),
    )
    if revision is not None:
        endpoint.service_name = revision.spec.name
        endpoint.ports.extend(
            EndpointPort(protocol=port.protocol, target=port.target, published=port.published)
            for port in revision.spec.endpoint.ports
        )
        own = revision.spec.task.container.name
        for attachment in revision.spec.task.networks:
            names = [*attachment.aliases, *([own] if own and own not in attachment.aliases else ())]
            if names:
                endpoint.aliases[attachment.network].CopyFrom(Aliases(names=names))
    return endpoint


def _answers(task: Task, status: TaskStatus | None) -> bool:
    """Whether names resolve to it: a container's do while it runs, as with Docker, whatever its health check says."""
    if task.container_id:
        return task_states.observed_state(task, status) == TaskState.RUNNING
    return task_states.is_ready(task, status)


def narrowed(endpoint: TaskEndpoint, is_visible: Callable[[str], bool]) -> TaskEndpoint | None:
    """The endpoint on the visible networks only: the same object if all are, None if none is.

    Args:
        is_visible: whether the recipients see it on a network, by its id.
    """
    hidden = {place.network_id for place in endpoint.addresses if not is_visible(place.network_id)}
    if not hidden:
        return endpoint
    narrow = TaskEndpoint()
    narrow.CopyFrom(endpoint)
    del narrow.addresses[:]
    narrow.addresses.extend(place for place in endpoint.addresses if place.network_id not in hidden)
    for name in [name for name in narrow.aliases if name in hidden]:
        del narrow.aliases[name]
    return narrow if narrow.addresses else None


def _withdrawn_task(task: Task) -> Task:
    copy = Task()
    copy.CopyFrom(task)
    copy.withdrawn = True
    return copy


def _ended(task: Task, status: TaskStatus | None) -> Task:
    copy = Task()
    copy.CopyFrom(task)
    copy.state = TaskState.ValueType(task_states.observed_state(task, status))
    return copy
