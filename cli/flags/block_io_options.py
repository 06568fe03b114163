"""Block I/O weights and limits, as in `docker run`: --blkio-weight, --device-read-bps /dev/sda:1m …"""

from collections.abc import Callable

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.repeated_fields import remove_matching
from shoal.spec_parsers.units import parse_bytes

Change = Callable[[ServiceSpec, str], None]


def _number(text: str) -> int:
    return parse_count(text, 1 << 30, key="rate")


DEVICE_FLAGS: dict[str, tuple[str, str, str, Callable[[str], int]]] = {
    "--blkio-weight-device": ("weights", "PATH:WEIGHT", "Block IO weight of a device (relative).", _number),
    "--device-read-bps": ("read_bps", "PATH:BYTES", "Limit read rate (bytes per second) from a device.", parse_bytes),
    "--device-write-bps": ("write_bps", "PATH:BYTES", "Limit write rate (bytes per second) to a device.", parse_bytes),
    "--device-read-iops": ("read_iops", "PATH:NUMBER", "Limit read rate (IO per second) from a device.", _number),
    "--device-write-iops": ("write_iops", "PATH:NUMBER", "Limit write rate (IO per second) to a device.", _number),
}
"""By flag: the field, the form, what it does, and how the amount is read."""


def set_weight(spec: ServiceSpec, value: str) -> None:
    """Weight for all block devices; 0 for the kernel's default."""
    spec.task.container.block_io.weight = parse_count(value, 1000)


def adding(flag: str) -> Change:
    """Bounds a device; a later bound takes the place of an earlier one of the same device."""
    field, form, _, amount = DEVICE_FLAGS[flag]

    def add(spec: ServiceSpec, text: str) -> None:
        path, sign, bound = text.rpartition(":")
        if not sign or not path.startswith("/"):
            raise InvalidInput(f"{text!r} must be in the form {form}")
        devices = getattr(spec.task.container.block_io, field)
        remove_matching(devices, lambda other: other.path == path)
        devices.add(path=path, amount=amount(bound))

    return add


def removing(flag: str) -> Change:
    """Takes the bound of a device away."""
    field = DEVICE_FLAGS[flag][0]

    def remove(spec: ServiceSpec, path: str) -> None:
        if not remove_matching(getattr(spec.task.container.block_io, field), lambda device: device.path == path):
            raise InvalidInput(f"{path!r} not found")

    return remove
