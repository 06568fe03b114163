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
    """Ids of volumes whose data is on the node and must be deleted."""
    containers: frozenset[str] = frozenset()
    """Ids of containers that are kept on the node."""
    files: Mapping[str, FileVersion] = field(default_factory=dict)
    """As stored, secrets encrypted, by `FileContent.key`; `manager.dispatcher.assignments.file_delivery` sends them."""


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
    "container": ("containers", "removed_containers"),
}
"""By kind: the field of `Assignments` for a record, and the field for its key when it was removed."""


_ENVELOPE = frozenset({"snapshot", "store_revision", "lists_containers", "epoch"})
"""Fields that are no records."""


def snapshot(assigned: NodeAssignments, revision: int, epoch: str = "") -> Assignments:
    """The message that replaces everything that the agent has.

    Args:
        epoch: id of the cluster's epoch.
    """
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
        containers=sorted(assigned.containers),
        lists_containers=True,
        epoch=epoch,
    )


def increment(
    dirty: Iterable[RecordRef], find: Callable[[RecordKind, str], Message | str | None], revision: int
) -> Assignments:
    """The message with the dirty records, as they are now.

    Args:
        find: a record as the node sees it; None if it does not.
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
    """Whether it changes nothing but the store's revision."""
    return all(
        field.name in ("snapshot", "store_revision", "lists_containers", "epoch") for field, _ in message.ListFields()
    )


def trimmed(revision: ServiceRevision) -> ServiceRevision:
    """The part of a revision that an agent reads; the rest is not sent, nor are labels unless a template uses them."""
    task = revision.spec.task
    template = TaskTemplate(
        container=task.container,
        limits=task.limits,
        restart=task.restart,
        log=task.log,
        stop_on_disconnect_ms=task.stop_on_disconnect_ms,
        build_id=task.build_id,
    )
    # The task itself has its networks, but not "host" or "none".
    template.networks.extend(attachment for attachment in task.networks if is_mode(attachment.network))
    labels = revision.spec.labels if uses_labels(task.container) else {}
    spec = ServiceSpec(
        name=revision.spec.name,
        stack=revision.spec.stack,
        task=template,
        labels=labels,
        endpoint=revision.spec.endpoint,
    )
    reduced = ServiceRevision(service_id=revision.service_id, number=revision.number, spec=spec)
    if revision.HasField("origin"):
        reduced.origin.CopyFrom(revision.origin)
    return reduced
