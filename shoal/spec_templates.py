"""Templates in a container's spec: `{{.Task.Slot}}` and the like, in variables, the host name and mounts' sources.

The placeholders are Docker's; nothing else of Go's template language is there, so that what is accepted is also
understood by whoever reads it. Shared, since managers refuse what agents could not fill in. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Fault, InvalidInput
from shoal.task_states import task_name

NAMES = (
    "Service.ID",
    "Service.Name",
    "Node.ID",
    "Node.Hostname",
    "Node.Platform.OS",
    "Node.Platform.Architecture",
    "Task.ID",
    "Task.Name",
    "Task.Slot",
)
"""Beside these, `Service.Labels.<name>` and `index .Service.Labels "<name>"`."""

HOST_GATEWAY = "host-gateway"
"""Of `extra_hosts`: stands for the address of the task's node."""

_LABELS = "Service.Labels."
_PLACEHOLDER = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_FIELD = re.compile(r"\.([A-Za-z]+(?:\.[A-Za-z0-9_-]+)+)")
_INDEX = re.compile(r'index \.Service\.Labels "([^"]+)"')


@dataclass(frozen=True)
class NodeValues:
    """The values of a node that templates may use; the platform in the terms of the OCI image index.

    Attributes:
        address: at which containers reach it; empty where it is not known.
    """

    id: str
    hostname: str
    os: str = "linux"
    architecture: str = ""
    address: str = ""


def values_of(revision: ServiceRevision, task: Task, node: NodeValues) -> Mapping[str, str]:
    """Values by name, "Task.Slot"; a label's name is "Service.Labels.<name>"."""
    return {
        "Service.ID": task.service_id,
        "Service.Name": revision.spec.name,
        "Node.ID": node.id,
        "Node.Hostname": node.hostname,
        "Node.Platform.OS": node.os,
        "Node.Platform.Architecture": node.architecture,
        "Task.ID": task.id,
        "Task.Name": task_name(revision.spec.name, task),
        # As in Docker, the node takes the slot's place where a service has one task a node.
        "Task.Slot": str(task.slot) if task.slot else task.node_id,
        **{f"{_LABELS}{name}": value for name, value in revision.spec.labels.items()},
    }


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """The text with every placeholder filled in. A label that the service does not have is empty.

    What is filled in is not looked at again: a label's value with braces stays as it is.

    Raises:
        InvalidInput: a placeholder that is not known, or braces that are not closed.
    """
    if problem := template_fault(text):
        raise InvalidInput(problem)
    return _PLACEHOLDER.sub(lambda match: _value(_name(match[1]), values), text)


def template_fault(text: str) -> str:
    """Why the text cannot be filled in, whatever the values; empty when it can."""
    for match in _PLACEHOLDER.finditer(text):
        name = _name(match[1])
        if name not in NAMES and not name.startswith(_LABELS):
            return f'unknown placeholder "{match[0][:80]}"; available: {", ".join(NAMES)} and {_LABELS}<name>'
    rest = _PLACEHOLDER.sub("", text)
    return f'missing "}}}}" in "{text[:80]}"' if "{{" in rest else ""


def templates(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    """Path and text of each value that may have placeholders."""
    for index, entry in enumerate(spec.env):
        yield f"env[{index}]", entry
    yield "hostname", spec.hostname
    for index, mount in enumerate(spec.mounts):
        yield f"mounts[{index}].source", mount.source


def has_placeholder(text: str) -> bool:
    """Whether it is a template at all."""
    return "{{" in text


def uses_labels(spec: ContainerSpec) -> bool:
    """Whether a template of the spec asks for labels of the service, or a file may do so."""
    if any(each.template for each in (*spec.secrets, *spec.configs)):
        return True
    return any(has_placeholder(text) and ".Service.Labels" in text for _, text in templates(spec))


def expand_container(spec: ContainerSpec, values: Mapping[str, str]) -> ContainerSpec:
    """The spec with its templates filled in; the very same object when it has none.

    Raises:
        InvalidInput: with every template that cannot be filled in.
    """
    if not any(has_placeholder(text) for _, text in templates(spec)):
        return spec
    faults = [Fault(f"spec.{path}", why) for path, text in templates(spec) if (why := template_fault(text))]
    if faults:
        raise InvalidInput(faults)
    filled = ContainerSpec()
    filled.CopyFrom(spec)
    filled.env[:] = [fill_in(entry, values) for entry in spec.env]
    filled.hostname = fill_in(spec.hostname, values)
    for mount in filled.mounts:
        mount.source = fill_in(mount.source, values)
        if ".." in mount.source.split("/"):
            raise InvalidInput([Fault("spec.mounts", f'{mount.source!r} must not contain ".."')])
    return filled


def _name(inside: str) -> str:
    """ "Task.Slot" of ".Task.Slot"; empty for what is neither a field nor an index."""
    if match := _INDEX.fullmatch(inside):
        return f"{_LABELS}{match[1]}"
    match = _FIELD.fullmatch(inside)
    return match[1] if match else ""


def _value(name: str, values: Mapping[str, str]) -> str:
    return values.get(name, "") if name.startswith(_LABELS) else values[name]
