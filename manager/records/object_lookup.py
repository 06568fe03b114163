"""Object lookup by ID, name or unambiguous ID prefix. Pure.

An ID prefix has at least six characters: so what is called by a short name, and is not there any more or not yet, is
not found, and never another object is whose ID begins so.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from manager import node_identity
from manager.file_contents.file_kinds import FileKind
from manager.store.tables import View
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task
from shoal.api.v1.volume_pb2 import Volume
from shoal.container_ids import container_id, is_beginning, object_id
from shoal.errors import InvalidInput, NotFound
from shoal.ids import PREFIX_LENGTH, may_begin_id

V = TypeVar("V")

SubmittedFiles = Mapping[str, File]
"""Secrets and configs that a request creates or changes, by "<kind>/<name>"."""

_SHOWN = 4


def find_service(view: View, reference: str) -> Service:
    """Raises NotFound, with the nearest name, or InvalidInput when an ID prefix is ambiguous."""
    named = view.service_named(reference)
    if named is not None:
        return named
    return _by_id("service", view.services, reference, [service.spec.name for service in view.services.values()])


def service_with_container(view: View, name: str) -> Service | None:
    """The service whose container has this name.

    Raises:
        InvalidInput: several have it.
    """
    found = [each for each in view.services.values() if name and each.spec.task.container.name == name]
    if len(found) > 1:
        names = ", ".join(sorted(each.spec.name for each in found))
        raise InvalidInput(f'{len(found)} containers are named "{name}" (services {names}); use a service name instead')
    return found[0] if found else None


def find_container(view: View, reference: str) -> Container:
    """By ID, by name, or by the beginning of an ID, in Shoal's form or in Docker's (`shoal.container_ids`).

    Of the latter any length is enough, as for Docker's clients: users see that form.

    Raises as `find_service`.
    """
    reference = reference.removeprefix("/")
    exact = view.containers.get(reference) or view.containers.get(object_id(reference) or "")
    named = exact or view.container_named(reference)
    if named is not None:
        return named
    short = [each for each in view.containers if each.startswith(reference)] if may_begin_id(reference) else []
    if is_beginning(reference):
        short += [each for each in view.containers if container_id(each).startswith(reference) and each not in short]
    if short:
        return view.containers[_only("container", reference, short)]
    return _by_id("container", view.containers, reference, [each.name for each in view.containers.values()])


def container_of_name(view: View, reference: str) -> Container | None:
    """As `find_container`, but None where none is named; raises InvalidInput when several are."""
    try:
        return find_container(view, reference) if reference else None
    except NotFound:
        return None


def find_network(view: View, reference: str) -> Network:
    """Raises as `find_service`."""
    named = view.network_named(reference)
    if named is not None:
        return named
    return _by_id("network", view.networks, reference, [network.spec.name for network in view.networks.values()])


def find_file(view: View, kind: FileKind, reference: str) -> File:
    """A secret or config. Raises as `find_service`."""
    files = kind.files(view)
    return kind.named(view, reference) or _by_id(
        kind.name, files, reference, [file.spec.name for file in files.values()]
    )


def find_volume(view: View, reference: str) -> Volume:
    """Raises as `find_service`."""
    return volume_named(view, reference) or _by_id(
        "volume", view.volumes, reference, [volume.spec.name for volume in view.volumes.values()]
    )


def volume_named(view: View, name: str) -> Volume | None:
    """The volume of this name, even while it is being removed."""
    record = view.names.get(f"volume/{name}")
    return view.volumes.get(record.meta.id) if record is not None else None


def find_node(view: View, reference: str) -> Node:
    """By ID or hostname. Raises as `find_service`, also where two nodes have that hostname."""
    if reference in view.nodes:
        return view.nodes[reference]
    hostnames = {identifier: hostname_of(view, identifier) for identifier in view.nodes}
    same = [identifier for identifier, hostname in hostnames.items() if reference and hostname == reference]
    if len(same) > 1:
        raise InvalidInput(f'{len(same)} nodes have the hostname "{reference}" ({_format_ids(same)}); use a node ID')
    if same:
        return view.nodes[same[0]]
    return _by_id("node", view.nodes, reference, hostnames.values())


def find_task(view: View, reference: str) -> Task:
    """By ID, ID prefix or full name (`web.3.<id>`). Raises as `find_service`."""
    return _by_id("task", view.tasks, reference.rpartition(".")[2], ())


def slot_names(view: View, task: Task) -> tuple[str, ...]:
    """Names that a task has below its service: the slot's number; of a global service, the node's hostname or ID."""
    return (str(task.slot),) if task.slot else (hostname_of(view, task.node_id), task.node_id)


def is_in_stack(view: View, task: Task, stack: str) -> bool:
    """Whether the task's service belongs to the stack, or did when the task was created."""
    revision = view.revision_of(task.service_id, task.revision)
    return revision is not None and revision.spec.stack == stack


def hostname_of(view: View, node_id: str) -> str:
    """The node's hostname, or its ID until it is known."""
    return node_identity.hostname(view, node_id)


def is_down(view: View, node_id: str) -> bool:
    """Whether the node is known to be down."""
    status = view.node_status.get(node_id)
    return status is not None and status.state == NodeStatus.DOWN


def _by_id(object_type: str, objects: Mapping[str, V], reference: str, names: Iterable[str]) -> V:
    if not reference:
        raise InvalidInput(f"a {object_type} name or ID is required")
    if reference in objects:
        return objects[reference]
    matching = [identifier for identifier in objects if identifier.startswith(reference)]
    if matching and may_begin_id(reference):
        return objects[_only(object_type, reference, matching)]
    if matching:  # a name that somebody has removed, or will create, and no beginning of another object's id
        raise NotFound(f'{object_type} "{reference}" not found; an ID prefix has at least {PREFIX_LENGTH} characters')
    near = difflib.get_close_matches(reference, list(names), n=1)
    raise NotFound(f'{object_type} "{reference}" not found' + (f'; did you mean "{near[0]}"?' if near else ""))


def _only(object_type: str, reference: str, matching: list[str]) -> str:
    if len(matching) > 1:
        raise InvalidInput(
            f'{object_type} ID prefix "{reference}" is ambiguous: it matches '
            f"{len(matching)} IDs ({_format_ids(matching)}); use a longer prefix"
        )
    return matching[0]


def _format_ids(identifiers: list[str]) -> str:
    shown = ", ".join(sorted(identifiers)[:_SHOWN])
    return shown + (", …" if len(identifiers) > _SHOWN else "")
