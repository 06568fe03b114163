"""Validation of weights and limits of block devices. Pure: yields every fault."""

from collections.abc import Iterator

from manager.validation.text_rules import check_absolute, check_distinct, check_range
from shoal.api.v1.container_pb2 import BlockIo
from shoal.errors import Fault

MIN_WEIGHT, MAX_WEIGHT = 10, 1000
MAX_DEVICES = 64
"""Devices of one kind of limit."""

_MAXIMA = {
    "weights": MAX_WEIGHT,
    "read_bps": 1 << 50,
    "write_bps": 1 << 50,
    "read_iops": 1 << 30,
    "write_iops": 1 << 30,
}


def check_block_io(path: str, requested: BlockIo) -> Iterator[Fault]:
    """Whether a node has the devices is for its agent to check."""
    if requested.weight:
        yield from check_range(f"{path}.weight", requested.weight, MIN_WEIGHT, MAX_WEIGHT)
    for field, maximum in _MAXIMA.items():
        devices = getattr(requested, field)
        yield from check_range(f"{path}.{field}", len(devices), 0, MAX_DEVICES, "devices")
        yield from check_distinct(f"{path}.{field}", [device.path for device in devices])
        for index, device in enumerate(devices):
            minimum = MIN_WEIGHT if field == "weights" else 1
            yield from check_absolute(f"{path}.{field}[{index}].path", device.path)
            yield from check_range(f"{path}.{field}[{index}].amount", device.amount, minimum, maximum)
