"""Weights and limits of block devices: reads device numbers, and builds the spec's section."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shoal.api.v1.container_pb2 import BlockIo
from shoal.errors import Fault, InvalidInput

Number = tuple[int, int]
"""Major and minor number."""

_THROTTLES = {
    "read_bps": "throttleReadBpsDevice",
    "write_bps": "throttleWriteBpsDevice",
    "read_iops": "throttleReadIOPSDevice",
    "write_iops": "throttleWriteIOPSDevice",
}


def device_numbers(block_io: BlockIo) -> Mapping[str, Number]:
    """The numbers of the given devices, by path.

    Raises:
        InvalidInput: paths that are not block devices of this host.
    """
    found: dict[str, Number] = {}
    faults: list[Fault] = []
    for field, place, path in _named(block_io):
        try:
            status = Path(path).stat()
        except OSError:
            status = None
        if status is None or not stat.S_ISBLK(status.st_mode):
            faults.append(Fault(f"spec.block_io.{field}[{place}].path", f"{path} is not a block device on this node"))
        else:
            found[path] = os.major(status.st_rdev), os.minor(status.st_rdev)
    if faults:
        raise InvalidInput(faults)
    return found


def block_io_section(block_io: BlockIo, numbers: Mapping[str, Number]) -> dict[str, Any]:
    """`linux.resources.blockIO` of an OCI runtime spec (config-linux.md, "Block IO"); empty if nothing is set."""
    section: dict[str, Any] = {"weight": block_io.weight} if block_io.weight else {}
    if block_io.weights:
        section["weightDevice"] = [{**_number(numbers[each.path]), "weight": each.amount} for each in block_io.weights]
    for field, key in _THROTTLES.items():
        devices: Iterable[BlockIo.Device] = getattr(block_io, field)
        if bounds := [{**_number(numbers[each.path]), "rate": each.amount} for each in devices]:
            section[key] = bounds
    return section


def _number(number: Number) -> dict[str, int]:
    return {"major": number[0], "minor": number[1]}


def _named(block_io: BlockIo) -> Iterator[tuple[str, int, str]]:
    for field in ("weights", *_THROTTLES):
        for place, device in enumerate(getattr(block_io, field)):
            yield field, place, device.path
