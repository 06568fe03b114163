"""Weights and bounds of block devices, as `docker run` has them: --blkio-weight, --device-read-bps /dev/sda:1m …"""

from collections.abc import Callable

from cli.flags.entries import drop
from cli.flags.numbers import count
from cli.render.units import parse_bytes
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

Change = Callable[[ServiceSpec, str], None]


def _number(text: str) -> int:
    return count("rate", text, 1 << 30)


OF_DEVICES: dict[str, tuple[str, str, str, Callable[[str], int]]] = {
    "--blkio-weight-device": ("weights", "PATH:WEIGHT", "Weight for one block device of the node's.", _number),
    "--device-read-bps": ("read_bps", "PATH:BYTES", "Most bytes a second read from a block device.", parse_bytes),
    "--device-write-bps": ("write_bps", "PATH:BYTES", "Most bytes a second written to a block device.", parse_bytes),
    "--device-read-iops": ("read_iops", "PATH:NUMBER", "Most reads a second from a block device.", _number),
    "--device-write-iops": ("write_iops", "PATH:NUMBER", "Most writes a second to a block device.", _number),
}
"""By flag: the field, the form, what it does, and how the amount is read."""


def weigh(spec: ServiceSpec, value: str) -> None:
    """Weight for all block devices; 0 for the kernel's default."""
    spec.task.container.block_io.weight = count("--blkio-weight", value, 1000)


def adding(flag: str) -> Change:
    """Bounds a device; a later bound takes the place of an earlier one of the same device."""
    field, form, _, amount = OF_DEVICES[flag]

    def add(spec: ServiceSpec, text: str) -> None:
        path, sign, bound = text.rpartition(":")
        if not sign or not path.startswith("/"):
            raise InvalidInput(f"{flag}: {text!r} is not of the form {form}")
        devices = getattr(spec.task.container.block_io, field)
        drop(devices, lambda other: other.path == path)
        devices.add(path=path, amount=amount(bound))

    return add


def removing(flag: str) -> Change:
    """Takes the bound of a device away."""
    field = OF_DEVICES[flag][0]

    def remove(spec: ServiceSpec, path: str) -> None:
        if not drop(getattr(spec.task.container.block_io, field), lambda device: device.path == path):
            raise InvalidInput(f"{flag}-rm: there is no {path!r}")

    return remove
