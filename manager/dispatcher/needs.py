"""What a node needs, as a value, and the messages that tell it. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress

from google.protobuf.message import Message

from manager.dispatcher.marks import Mark, Topic
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
from shoal.network_modes import is_mode
from shoal.templates import uses_labels


@dataclass(frozen=True)
class Needs:
    """All that one node is to know, by the keys of `Assignments`; a revision's key is "<service id>/<number>"."""

    tasks: Mapping[str, Task] = field(default_factory=dict)
    revisions: Mapping[str, ServiceRevision] = field(default_factory=dict)
    networks: Mapping[str, NetworkAssignment] = field(default_factory=dict)
    endpoints: Mapping[str, TaskEndpoint] = field(default_factory=dict)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    services: Mapping[str, ServiceEndpoint] = field(default_factory=dict)
    attachments: Mapping[str, VolumeAttachment] = field(default_factory=dict)
    removing_volumes: frozenset[str] = frozenset()
    """Ids of volumes whose data lies here and is to be deleted."""
    files: Mapping[str, FileVersion] = field(default_factory=dict)
    """As stored, secrets sealed, by `FileContent.key`; `manager.dispatcher.file_contents` sends them."""


@dataclass(frozen=True)
class News:
    """What a session is to send: everything but contents, and the contents that go after it."""

    assignments: Assignments
    files: Mapping[str, FileVersion] = field(default_factory=dict)


_FIELDS: Mapping[Topic, tuple[str, str]] = {
    "task": ("tasks", "removed_tasks"),
    "revision": ("revisions", ""),  # never removed by name: an agent drops those without a task
    "network": ("networks", "removed_networks"),
    "endpoint": ("endpoints", "removed_endpoints"),
    "peer": ("peers", "removed_peers"),
    "service": ("services", "removed_services"),
    "volume": ("removing_volumes", ""),
    "attachment": ("attachments", "removed_attachments"),
}
"""Where a record of a topic goes in `Assignments`, and its key when the node is not to have it any more."""


def snapshot(needs: Needs, revision: int) -> Assignments:
    """The message that replaces whatever the agent knew."""
    return Assignments(
        snapshot=True,
        store_revision=revision,
        tasks=needs.tasks.values(),
        revisions=needs.revisions.values(),
        networks=needs.networks.values(),
        endpoints=needs.endpoints.values(),
        peers=needs.peers.values(),
        removing_volumes=sorted(needs.removing_volumes),
        services=needs.services.values(),
        attachments=needs.attachments.values(),
    )


def increment(marks: Iterable[Mark], find: Callable[[Topic, str], Message | str | None], revision: int) -> Assignments:
    """The message that tells of the marked records, as they are now.

    Args:
        find: a record as the node is to know it; None when it is to know none.
    """
    message = Assignments(store_revision=revision)
    for topic, keys in _by_topic(marks).items():
        changed, removed = _FIELDS[topic]
        keys.sort()
        found = [find(topic, key) for key in keys]
        getattr(message, changed).extend(record for record in found if record is not None)
        if removed and None in found:
            getattr(message, removed).extend(compress(keys, (record is None for record in found)))
    return message


def _by_topic(marks: Iterable[Mark]) -> dict[Topic, list[str]]:
    found: dict[Topic, list[str]] = {}
    for topic, key in marks:
        found.setdefault(topic, []).append(key)
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
