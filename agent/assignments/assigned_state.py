"""The state assigned to this node; applying a message returns what it changed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from agent.assignments.cluster_diff import ClusterDiff
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Unavailable

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class AssignmentDiff:
    """The effect of one message: this node's tasks (None: removed), and the records of the cluster around them."""

    tasks: Mapping[str, Task | None]
    cluster: ClusterDiff


class AssignedState:
    """By the keys of `Assignments`; a revision's key is "<service id>/<number>".

    Attributes:
        epoch: of the newest snapshot, `Assignments.epoch`.
        store_revision: of the newest message.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.revisions: dict[str, ServiceRevision] = {}
        self.networks: dict[str, NetworkAssignment] = {}
        self.endpoints: dict[str, TaskEndpoint] = {}
        self.peers: dict[str, Peer] = {}
        self.services: dict[str, ServiceEndpoint] = {}
        self.epoch = ""
        self.store_revision = 0

    def restore(self, other: "AssignedState") -> None:
        """Take over another state, which must not be used afterwards."""
        vars(self).update(vars(other))

    def revision_of(self, task: Task) -> ServiceRevision | None:
        """The spec that a task runs."""
        return self.revisions.get(revision_key(task))

    def as_diff(self) -> ClusterDiff:
        """Networks, endpoints, peers and services, as the change that makes them of nothing."""
        return ClusterDiff(dict(self.networks), dict(self.endpoints), dict(self.peers), dict(self.services))

    def apply(self, message: Assignments) -> AssignmentDiff:
        """Go to the state after a message, by work in proportion to it; what that changed.

        A snapshot replaces everything. Revisions that no task runs are dropped.
        """
        whole = message.snapshot
        if whole:
            self.epoch = message.epoch
        self.store_revision = message.store_revision or self.store_revision
        networks = _diff(self.networks, message.networks, message.removed_networks, lambda each: each.network_id, whole)
        endpoints = _diff(
            self.endpoints, message.endpoints, message.removed_endpoints, lambda each: each.task_id, whole
        )
        peers = _diff(self.peers, message.peers, message.removed_peers, lambda each: each.node_id, whole)
        services = _diff(self.services, message.services, message.removed_services, lambda each: each.service_id, whole)
        tasks = _diff(self.tasks, message.tasks, message.removed_tasks, lambda each: each.id, whole)
        _apply(self.networks, networks)
        _apply(self.endpoints, endpoints)
        _apply(self.peers, peers)
        _apply(self.services, services)
        _apply(self.tasks, tasks)
        if whole or tasks or message.revisions:
            self._update_revisions(message.revisions)
        return AssignmentDiff(tasks, ClusterDiff(networks, endpoints, peers, services))

    def _update_revisions(self, sent: Iterable[ServiceRevision]) -> None:
        known = {**self.revisions, **{f"{each.service_id}/{each.number}": each for each in sent}}
        used = {revision_key(task) for task in self.tasks.values()}
        self.revisions = {key: revision for key, revision in known.items() if key in used}


def required_revision(revision: ServiceRevision | None, task: Task) -> ServiceRevision:
    """The revision that a task is to run. Raises Unavailable where managers have not sent it."""
    if revision is None:
        raise Unavailable(f"revision {task.revision} of service {task.service_id} has not been received")
    return revision


def revision_key(task: Task) -> str:
    """The key of the revision that a task runs."""
    return f"{task.service_id}/{task.revision}"


def _diff(
    known: Mapping[str, M], sent: Iterable[M], removed: Iterable[str], key: Callable[[M], str], whole: bool
) -> dict[str, M | None]:
    """The differences between known and received records."""
    named = {key(each): each for each in sent}
    gone = known.keys() - named.keys() if whole else known.keys() & set(removed)
    changed: dict[str, M | None] = {name: each for name, each in named.items() if known.get(name) != each}
    return {**changed, **dict.fromkeys(gone)}


def _apply(known: dict[str, M], changed: Mapping[str, M | None]) -> None:
    for name, value in changed.items():
        if value is None:
            del known[name]
        else:
            known[name] = value
