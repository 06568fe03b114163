"""What a node needs, as a value, and the message that brings an agent from one such value to the next. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.file_pb2 import FileVersion
from shoal.api.v1.service_pb2 import ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.network_modes import MODES
from shoal.templates import uses_labels

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Needs:
    """All that one node is to know, by the keys of `Assignments`; a revision's key is "<service id>/<number>"."""

    tasks: Mapping[str, Task] = field(default_factory=dict)
    revisions: Mapping[str, ServiceRevision] = field(default_factory=dict)
    networks: Mapping[str, NetworkAssignment] = field(default_factory=dict)
    endpoints: Mapping[str, TaskEndpoint] = field(default_factory=dict)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    services: Mapping[str, ServiceEndpoint] = field(default_factory=dict)
    removing_volumes: frozenset[str] = frozenset()
    """Ids of volumes whose data lies here and is to be deleted."""
    files: Mapping[str, FileVersion] = field(default_factory=dict)
    """As stored, secrets sealed, by `FileContent.key`; `diff` leaves them to `manager.dispatcher.file_contents`."""


NOTHING = Needs()


def snapshot(needs: Needs, revision: int) -> Assignments:
    """The message that replaces whatever the agent knew."""
    message = diff(NOTHING, needs, revision)
    message.snapshot = True
    return message


def diff(old: Needs, new: Needs, revision: int) -> Assignments:
    """The increment from `old` to `new`. Revisions are never removed by name: an agent drops those without a task."""
    return Assignments(
        store_revision=revision,
        tasks=_changed(old.tasks, new.tasks),
        removed_tasks=_removed(old.tasks, new.tasks),
        revisions=_changed(old.revisions, new.revisions),
        networks=_changed(old.networks, new.networks),
        removed_networks=_removed(old.networks, new.networks),
        endpoints=_changed(old.endpoints, new.endpoints),
        removed_endpoints=_removed(old.endpoints, new.endpoints),
        peers=_changed(old.peers, new.peers),
        removed_peers=_removed(old.peers, new.peers),
        removing_volumes=sorted(new.removing_volumes - old.removing_volumes),
        services=_changed(old.services, new.services),
        removed_services=_removed(old.services, new.services),
    )


def new_files(old: Needs, new: Needs) -> Mapping[str, FileVersion]:
    """Versions that the agent has not been sent. They are never removed by name, as revisions are not."""
    return {key: version for key, version in new.files.items() if key not in old.files}


def is_empty(increment: Assignments) -> bool:
    """Whether it changes nothing, the store's revision aside."""
    return all(name.name in ("snapshot", "store_revision") for name, _ in increment.ListFields())


def trimmed(revision: ServiceRevision) -> ServiceRevision:
    """What an agent reads of a revision; the rest stays with the managers, labels too unless a template names them."""
    task = revision.spec.task
    template = TaskTemplate(container=task.container, limits=task.limits, log=task.log)
    # Of its networks the task itself tells; but not of "host" or "none".
    template.networks.extend(attachment for attachment in task.networks if attachment.network in MODES)
    labels = revision.spec.labels if uses_labels(task.container) else {}
    spec = ServiceSpec(name=revision.spec.name, stack=revision.spec.stack, task=template, labels=labels)
    return ServiceRevision(service_id=revision.service_id, number=revision.number, spec=spec)


def _changed(old: Mapping[str, M], new: Mapping[str, M]) -> list[M]:
    """Identity is asked first: most records are the very same object, and comparing messages costs."""
    return [value for key, value in new.items() if (was := old.get(key)) is not value and was != value]


def _removed(old: Mapping[str, M], new: Mapping[str, M]) -> list[str]:
    return [key for key in old if key not in new]
