"""What makes the definition of a container of one's own valid. Pure: yields every fault."""

import re
from collections.abc import Iterator

from manager.validation import bounds
from manager.validation.containers.container_sharing_rules import check_sharing, without_sharing
from manager.validation.service_rules import check_service
from manager.validation.text_rules import check_engine_request, check_range
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.standalone_pb2 import ContainerDefinition, ContainerRestart, ContainerStop, Reschedule
from shoal.errors import Fault
from shoal.networks.network_modes import SERVICE, joined_container
from shoal.signal_names import signal_number

NEVER_MS = -1
"""A grace that does not end."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_ANY_NAME = "container"
"""In place of the name, whose rules are those of containers."""


def check_container_name(path: str, name: str) -> Iterator[Fault]:
    """As Docker's: letters, digits, "_", "." and "-", the first a letter or a digit."""
    if len(name) > bounds.NAME_LENGTH:
        yield Fault(path, f"has {len(name)} characters; the maximum is {bounds.NAME_LENGTH}")
    elif not _NAME.fullmatch(name):
        yield Fault(
            path, f'"{name}" must contain only letters, digits, "_", "." and "-", and begin with a letter or digit'
        )


def check_definition(definition: ContainerDefinition, spec: ServiceSpec) -> Iterator[Fault]:
    """Every fault of the definition alone; paths are those of its fields.

    Args:
        spec: the definition in the form of a service.
    """
    named = without_sharing(spec)
    named.name = _ANY_NAME
    if named.task.container.stop_grace_ms == NEVER_MS:  # services have to come to an end
        named.task.container.ClearField("stop_grace_ms")
    for fault in check_service(named):
        yield Fault(fault.path.removeprefix("endpoint."), fault.message)
    yield from check_restart("restart", definition.restart)
    if definition.auto_remove and definition.restart.condition > ContainerRestart.NO:
        yield Fault("auto_remove", "cannot be combined with a restart policy")
    if definition.reschedule not in Reschedule.values():
        yield Fault("reschedule", "must be one of stay, on-node-failure")
    yield from check_engine_request(definition.engine_request)
    yield from check_sharing(definition)
    yield from _check_unsupported(definition)
    yield from _check_binds(definition)


def check_restart(path: str, policy: ContainerRestart) -> Iterator[Fault]:
    """A restart policy as Docker has it."""
    if policy.condition not in ContainerRestart.Condition.values():
        yield Fault(f"{path}.condition", "must be one of no, on-failure, always, unless-stopped")
    elif policy.max_attempts and policy.condition != ContainerRestart.ON_FAILURE:
        yield Fault(f"{path}.max_attempts", "can be set with on-failure only")


def check_stop(path: str, stop: ContainerStop) -> Iterator[Fault]:
    """How a container is to be stopped."""
    if stop.signal and signal_number(stop.signal) is None:
        yield Fault(f"{path}.signal", f'"{stop.signal[:40]}" is not a signal')
    if stop.HasField("grace_ms"):
        yield from check_range(f"{path}.grace_ms", stop.grace_ms, NEVER_MS, bounds.DURATION_MS, "milliseconds")


def _check_unsupported(definition: ContainerDefinition) -> Iterator[Fault]:
    container = definition.task.container
    for path, given in (("secrets", container.secrets), ("configs", container.configs)):
        if given:
            yield Fault(f"task.container.{path}", "are supported for services only")
    for index, mount in enumerate(container.mounts):
        if mount.volume.per_slot:
            yield Fault(f"task.container.mounts[{index}].volume.per_slot", "is supported for services only")
    for index, attachment in enumerate(definition.task.networks):
        if attachment.network.startswith(SERVICE):
            yield Fault(f"task.networks[{index}].network", "the network of a service can be shared by services only")
    if container.name:
        yield Fault("task.container.name", "is of services only; a container has a name of its own")


def _check_binds(definition: ContainerDefinition) -> Iterator[Fault]:
    """A directory of a host means something on that host only."""
    container, beside = definition.task.container, definition.beside
    others = beside or container.pid_container or container.ipc_container or joined_container(definition.task)
    has_node = definition.node_id or others or definition.task.placement.constraints
    for index, mount in enumerate(definition.task.container.mounts):
        if mount.type == Mount.BIND and not has_node:
            text = "a bind mount is of one node: name the node, or set a constraint"
            yield Fault(f"task.container.mounts[{index}]", text)
