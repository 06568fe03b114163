"""Which slot of a per-slot volume a task uses."""

from shoal.api.v1.container_pb2 import VolumeOptions


def volume_slot(use: VolumeOptions, slot: int) -> int:
    """The slot whose own part it is; 0 for the volume's whole data.

    Args:
        slot: of the task.
    """
    return slot if use.per_slot and slot != use.inheriting_slot else 0
