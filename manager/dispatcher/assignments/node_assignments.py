"""A node's assignments as a value, and the messages that send them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress

from google.protobuf.message import Message

from manager.dispatcher.assignments.dirty_records import RecordKind, RecordRef
from shoal.api.v1.dispatcher_pb2 import (
    Assignments,
    NetworkAssignment,
    Peer,
    ServiceEndpoint,
    TaskEndpoint,
    VolumeAttachment,
)
from shoal.api.v1.file_pb2 import FileVersion
from shoal.api.v1.service_pb2 import ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.networks.network_modes import is_mode
from shoal.spec_templates import uses_labels


@dataclass(frozen=True)
class NodeAssignments:
    """Everything assigned to one node, by the keys of `Assignments`; a revision's key is "<service id>/<number>"."""

    tasks: Mapping[str, Task] = field(default_factory=dict)
    revisions: Mapping[str, ServiceRevision] = field(default_factory=dict)
    networks: Mapping[str, NetworkAssignment] = field(default_factory=dict)
    endpoints: Mapping[str, TaskEndpoint] = field(default_factory=dict)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    services: Mapping[str, ServiceEndpoint] = field(default_factory=dict)
    attachments: Mapping[str, VolumeAttachment] = field(default_factory=dict)
    volumes_to_delete: frozenset[str] = frozenset()
    """Ids of volumes whose data lies here and is to be deleted."""
    files: Mapping[str, FileVersion] = field(default_factory=dict)
    """As stored, secrets sealed, by `FileContent.key`; `manager.dispatcher.assignments.file_delivery` sends them."""


@dataclass(frozen=True)
class AssignmentChanges:
    """What a session sends next: an `Assignments` message, and the contents of files to send after it."""

    assignments: Assignments
    files: Mapping[str, FileVersion] = field(default_factory=dict)


_FIELDS: Mapping[RecordKind, tuple[str, str]] = {
    "task": ("tasks", "removed_tasks"),
    "revision": ("revisions", ""),  # never removed by name: an agent drops those without a task
    "network": ("networks", "removed_networks"),
    "endpoint": ("endpoints", "removed_endpoints"),
    "peer": ("peers", "removed_peers"),
    "service": ("services", "removed_services"),
    "volume": ("volumes_to_delete", ""),
    "attachment": ("attachments", "removed_attachments"),
}
"""Where a record of a topic goes in `Assignments`, and its key when the node is not to have it any more."""


def snapshot(assigned: NodeAssignments, revision: int) -> Assignments:
    """The message that replaces whatever the agent knew."""
    return Assignments(
        snapshot=True,
        store_revision=revision,
        tasks=assigned.tasks.values(),
        revisions=assigned.revisions.values(),
        networks=assigned.networks.values(),
        endpoints=assigned.endpoints.values(),
        peers=assigned.peers.values(),
        volumes_to_delete=sorted(assigned.volumes_to_delete),
        services=assigned.services.values(),
        attachments=assigned.attachments.values(),
    )


def increment(
    dirty: Iterable[RecordRef], find: Callable[[RecordKind, str], Message | str | None], revision: int
) -> Assignments:
    """The message that tells of the marked records, as they are now.

    Args:
        find: a record as the node is to know it; None when it is to know none.
    """
    message = Assignments(store_revision=revision)
    for kind, keys in _by_kind(dirty).items():
        changed, removed = _FIELDS[kind]
        keys.sort()
        found = [find(kind, key) for key in keys]
        getattr(message, changed).extend(record for record in found if record is not None)
        if removed and None in found:
            getattr(message, removed).extend(compress(keys, (record is None for record in found)))
    return message


def _by_kind(dirty: Iterable[RecordRef]) -> dict[RecordKind, list[str]]:
    found: dict[RecordKind, list[str]] = {}
    for kind, key in dirty:
        found.setdefault(kind, []).append(key)
    return found


def is_empty(message: Assignments) -> bool:
    """Whether it changes nothing, the store's revision aside."""
    return all(name.name in ("snapshot", "store_revision") for name, _ in message.ListFields())


def trimmed(revision: ServiceRevision) -> ServiceRevision:
    """What an agent reads of a revision; the rest stays with the managers, labels too unless a template names them."""
    task = revision.spec.task
    template = TaskTemplate(container=task.container, limits=task.limits, log=task.log)
    # Of its networks the task itself tells; but not of "host" or "none".
    template.networks.extend(attachment for attachment in task.networks if is_mode(attachment.network))
    labels = revision.spec.labels if uses_labels(task.container) else {}
    spec = ServiceSpec(
        name=revision.spec.name,
        stack=revision.spec.stack,
        task=template,
        labels=labels,
        endpoint=revision.spec.endpoint,
    )
    return ServiceRevision(service_id=revision.service_id, number=revision.number, spec=spec)
