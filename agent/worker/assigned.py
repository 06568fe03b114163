"""What managers assigned to this node, as a value: `merge` brings it from one message to the next. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Assigned:
    """By the keys of `Assignments`; a revision's key is "<service id>/<number>"."""

    tasks: Mapping[str, Task] = field(default_factory=dict)
    revisions: Mapping[str, ServiceRevision] = field(default_factory=dict)
    networks: Mapping[str, NetworkAssignment] = field(default_factory=dict)
    endpoints: Mapping[str, TaskEndpoint] = field(default_factory=dict)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    services: Mapping[str, ServiceEndpoint] = field(default_factory=dict)

    def revision_of(self, task: Task) -> ServiceRevision | None:
        """The spec that a task runs."""
        return self.revisions.get(revision_key(task))

    def same_datapath(self, other: "Assigned") -> bool:
        """Whether networks, endpoints, peers and services are equal."""
        own = (self.networks, self.endpoints, self.peers, self.services)
        return own == (other.networks, other.endpoints, other.peers, other.services)


def revision_key(task: Task) -> str:
    """The key of the revision that a task runs."""
    return f"{task.service_id}/{task.revision}"


def merge(old: Assigned, news: Assignments) -> Assigned:
    """The state after a message. A snapshot replaces everything; revisions that no task runs are dropped."""
    base = Assigned() if news.snapshot else old
    tasks = _merged(base.tasks, news.tasks, news.removed_tasks, lambda task: task.id)
    revisions = _merged(base.revisions, news.revisions, (), lambda each: f"{each.service_id}/{each.number}")
    used = {revision_key(task) for task in tasks.values()}
    return Assigned(
        tasks=tasks,
        revisions={key: revision for key, revision in revisions.items() if key in used},
        networks=_merged(base.networks, news.networks, news.removed_networks, lambda each: each.network_id),
        endpoints=_merged(base.endpoints, news.endpoints, news.removed_endpoints, lambda each: each.task_id),
        peers=_merged(base.peers, news.peers, news.removed_peers, lambda each: each.node_id),
        services=_merged(base.services, news.services, news.removed_services, lambda each: each.service_id),
    )


def _merged(
    old: Mapping[str, M], changed: Iterable[M], removed: Iterable[str], key: Callable[[M], str]
) -> Mapping[str, M]:
    """The very same object when nothing changes."""
    added, gone = {key(each): each for each in changed}, set(removed)
    if not added and not gone:
        return old
    return {name: value for name, value in {**old, **added}.items() if name not in gone}
