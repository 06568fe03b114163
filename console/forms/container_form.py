"""The form of a container of one's own: what `shoal run` does with the same texts."""

from console.forms.form_fields import Document, FormFields, pair, variable
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.engine_pb2 import CreateContainerRequest, UpdateContainerRequest
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.spec_parsers.choices import split_command
from shoal.spec_parsers.container_restart import parse_restart
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.network_attachments import parse_container_attachment
from shoal.spec_parsers.port_parser import from_short, parse_publish
from shoal.spec_parsers.short_mounts import parse_short_mount
from shoal.spec_parsers.units import parse_bytes, parse_nano_cpus

TASK_FIELDS = {
    "endpoint.ports": "ports",
    "task.networks": "networks",
    "task.limits.nano_cpus": "cpus",
    "task.limits.memory_bytes": "memory",
    "task.limits.pids": "pids",
    "task.container.image": "image",
    "task.container.command": "command",
    "task.container.entrypoint": "entrypoint",
    "task.container.env": "env",
    "task.container.mounts": "volumes",
    "task.container.user": "user",
    "task.container.working_dir": "workdir",
}
"""Fields of the forms by fields of what containers and services have in common."""

FIELD_OF = {
    **TASK_FIELDS,
    "name": "name",
    "node": "node",
    "labels": "labels",
    "ports": "ports",
    "restart": "restart",
    "auto_remove": "remove",
    "limits.nano_cpus": "cpus",
    "limits.memory_bytes": "memory",
    "limits.pids": "pids",
    "task.container.hostname": "hostname",
}
"""Fields of the form by fields of a container's definition."""


def container_request(document: Document) -> CreateContainerRequest:
    """A request to create what the form says.

    Raises:
        InvalidInput: with all faults, by field.
    """
    fields = FormFields(document)
    request = CreateContainerRequest(name=fields.text("name"), node=fields.text("node"))
    definition = request.definition
    for ports in fields.each("ports", _ports):
        definition.ports.extend(ports)
    definition.labels.update(fields.each("labels", pair))
    definition.task.networks.extend(fields.each("networks", parse_container_attachment))
    if (restart := fields.read("restart", parse_restart)) is not None:
        definition.restart.CopyFrom(restart)
    definition.auto_remove = fields.flag("remove")
    read_limits(fields, definition.task.limits)
    read_container(fields, definition.task.container)
    container = definition.task.container
    container.hostname = fields.text("hostname")
    container.tty = container.stdin_open = fields.flag("terminal")
    container.init = fields.flag("init")
    container.read_only = fields.flag("read_only")
    fields.raise_faults()
    return request


def update_request(container: str, document: Document) -> UpdateContainerRequest:
    """A request to change limits and restart policy; fields that are empty stay as they are.

    Raises:
        InvalidInput: with all faults, by field.
    """
    fields, request = FormFields(document), UpdateContainerRequest(container=container)
    limits = Resources()
    read_limits(fields, limits)
    if limits.ByteSize():
        request.limits.CopyFrom(limits)
    if (restart := fields.read("restart", parse_restart)) is not None:
        request.restart.CopyFrom(restart)
    fields.raise_faults()
    return request


def read_container(fields: FormFields, container: ContainerSpec) -> None:
    """What the form of a service has too."""
    container.image = fields.text("image")
    container.command.extend(fields.read("command", split_command) or ())
    container.entrypoint.extend(fields.read("entrypoint", split_command) or ())
    container.env.extend(fields.each("env", variable))
    container.mounts.extend(fields.each("volumes", parse_short_mount))
    container.user, container.working_dir = fields.text("user"), fields.text("workdir")


def read_limits(fields: FormFields, limits: Resources) -> None:
    """Limits of CPU, memory and processes; what is empty stays unset."""
    limits.nano_cpus = fields.read("cpus", parse_nano_cpus) or 0
    limits.memory_bytes = fields.read("memory", parse_bytes) or 0
    limits.pids = fields.read("pids", parse_count) or 0


def _ports(text: str) -> list[PublishedPort]:
    return parse_publish(text) if "=" in text else from_short(text)
