"""Which part of a volume a task has."""

from shoal.api.v1.container_pb2 import VolumeUse


def part_of(use: VolumeUse, slot: int) -> int:
    """The slot whose own part it is; 0 for the volume's whole data.

    Args:
        slot: of the task.
    """
    return slot if use.per_slot and slot != use.whole_slot else 0
