"""What makes weights and bounds of block devices valid. Pure: yields every fault."""

from collections.abc import Iterator

from manager.control_api.text_rules import check_absolute, check_distinct, check_range
from shoal.api.v1.container_pb2 import BlockIo
from shoal.errors import Fault

LEAST_WEIGHT, MOST_WEIGHT = 10, 1000
DEVICES = 64
"""Devices of one kind of bound."""

_MOST = {"weights": MOST_WEIGHT, "read_bps": 1 << 50, "write_bps": 1 << 50, "read_iops": 1 << 30, "write_iops": 1 << 30}


def check_block_io(path: str, wanted: BlockIo) -> Iterator[Fault]:
    """Whether a node has the devices, its agent says."""
    if wanted.weight:
        yield from check_range(f"{path}.weight", wanted.weight, LEAST_WEIGHT, MOST_WEIGHT)
    for field, most in _MOST.items():
        devices = getattr(wanted, field)
        yield from check_range(f"{path}.{field}", len(devices), 0, DEVICES, "devices")
        yield from check_distinct(f"{path}.{field}", [device.path for device in devices])
        for index, device in enumerate(devices):
            least = LEAST_WEIGHT if field == "weights" else 1
            yield from check_absolute(f"{path}.{field}[{index}].path", device.path)
            yield from check_range(f"{path}.{field}[{index}].amount", device.amount, least, most)
