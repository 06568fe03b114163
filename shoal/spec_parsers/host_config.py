"""Parse settings that Docker has in HostConfig: devices, swap and namespaces."""

from shoal.api.v1.container_pb2 import Device, HostNamespaces
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.cdi_names import split_name
from shoal.errors import InvalidInput
from shoal.spec_parsers.cdi_reservations import reserve_device
from shoal.spec_parsers.choices import parse_choice
from shoal.spec_parsers.repeated_fields import remove_matching
from shoal.spec_parsers.units import parse_bytes

NAMESPACE_MODES = {"private": 0, "host": 1}


def parse_device(text: str) -> Device:
    """A device in "/dev/ttyUSB0[:/dev/tty0][:rwm]".

    Raises:
        InvalidInput: it does not begin with a path.
    """
    source, *rest = text.split(":")
    if not source.startswith("/") or len(rest) > 2:
        raise InvalidInput(f"{text!r} must be in the form /dev/source[:/dev/target][:rwm] or vendor.com/class=name")
    target = rest.pop(0) if rest and rest[0].startswith("/") else ""
    return Device(source=source, target=target, permissions=rest[0] if rest else "")


def add_device(spec: ServiceSpec, text: str) -> None:
    """Give the container a device; a later one takes the place of an earlier one with the same source.

    One of the Container Device Interface (`nvidia.com/gpu=0`) is reserved on the node by its name.
    """
    if (named := split_name(text)) is not None:
        reserve_device(spec, *named)
        return
    device = parse_device(text)
    remove_matching(spec.task.container.devices, lambda other: other.source == device.source)
    spec.task.container.devices.append(device)


def set_swap(spec: ServiceSpec, text: str) -> None:
    """Memory and swap together, "-1" for no bound on swap."""
    spec.task.container.memory.swap_bytes = -1 if text == "-1" else parse_bytes(text)


def set_host_namespace(spec: ServiceSpec, namespace: str, mode: str) -> None:
    """Have a namespace of the node's ("host") or one of its own.

    Raises:
        InvalidInput: another mode; sharing with containers is not possible across nodes.
    """
    shared: HostNamespaces = spec.task.container.host_namespaces
    setattr(shared, namespace, parse_choice(mode, NAMESPACE_MODES) == 1)


def check_userns_mode(_: ServiceSpec, mode: str) -> None:
    """Containers have the node's user ids anyway; nothing else is possible."""
    if mode != "host":
        raise InvalidInput(f"{mode!r} is not supported; use host (user IDs are not remapped)")
