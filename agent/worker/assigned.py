"""What managers assigned to this node, by key; a message changes what it names, and says what that was."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from agent.worker.table_change import TableChange
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Unavailable

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Taken:
    """What a message changed: the node's own tasks, None for one that is taken away, and the cluster around them."""

    tasks: Mapping[str, Task | None]
    tables: TableChange


class Assigned:
    """By the keys of `Assignments`; a revision's key is "<service id>/<number>"."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.revisions: dict[str, ServiceRevision] = {}
        self.networks: dict[str, NetworkAssignment] = {}
        self.endpoints: dict[str, TaskEndpoint] = {}
        self.peers: dict[str, Peer] = {}
        self.services: dict[str, ServiceEndpoint] = {}

    def revision_of(self, task: Task) -> ServiceRevision | None:
        """The spec that a task runs."""
        return self.revisions.get(revision_key(task))

    def tables(self) -> TableChange:
        """Networks, endpoints, peers and services, as the change that makes them of nothing."""
        return TableChange(dict(self.networks), dict(self.endpoints), dict(self.peers), dict(self.services))

    def take(self, news: Assignments) -> Taken:
        """Go to the state after a message, by work in proportion to it; what that changed.

        A snapshot replaces everything. Revisions that no task runs are dropped.
        """
        whole = news.snapshot
        networks = _differing(self.networks, news.networks, news.removed_networks, lambda each: each.network_id, whole)
        endpoints = _differing(self.endpoints, news.endpoints, news.removed_endpoints, lambda each: each.task_id, whole)
        peers = _differing(self.peers, news.peers, news.removed_peers, lambda each: each.node_id, whole)
        services = _differing(self.services, news.services, news.removed_services, lambda each: each.service_id, whole)
        tasks = _differing(self.tasks, news.tasks, news.removed_tasks, lambda each: each.id, whole)
        _put(self.networks, networks)
        _put(self.endpoints, endpoints)
        _put(self.peers, peers)
        _put(self.services, services)
        _put(self.tasks, tasks)
        if whole or tasks or news.revisions:
            self._take_revisions(news.revisions)
        return Taken(tasks, TableChange(networks, endpoints, peers, services))

    def _take_revisions(self, told: Iterable[ServiceRevision]) -> None:
        known = {**self.revisions, **{f"{each.service_id}/{each.number}": each for each in told}}
        used = {revision_key(task) for task in self.tasks.values()}
        self.revisions = {key: revision for key, revision in known.items() if key in used}


def required(revision: ServiceRevision | None, task: Task) -> ServiceRevision:
    """The revision that a task is to run. Raises Unavailable where managers have not sent it."""
    if revision is None:
        raise Unavailable(f"revision {task.revision} of service {task.service_id} is not known here")
    return revision


def revision_key(task: Task) -> str:
    """The key of the revision that a task runs."""
    return f"{task.service_id}/{task.revision}"


def _differing(
    known: Mapping[str, M], told: Iterable[M], removed: Iterable[str], key: Callable[[M], str], whole: bool
) -> dict[str, M | None]:
    """Of what is told, that which is not known so."""
    named = {key(each): each for each in told}
    gone = known.keys() - named.keys() if whole else known.keys() & set(removed)
    changed: dict[str, M | None] = {name: each for name, each in named.items() if known.get(name) != each}
    return {**changed, **dict.fromkeys(gone)}


def _put(known: dict[str, M], changed: Mapping[str, M | None]) -> None:
    for name, value in changed.items():
        if value is None:
            del known[name]
        else:
            known[name] = value
