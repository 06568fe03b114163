"""Decides the next step of a volume move, and of its stale copies. Pure.

    begin (control API) -> wait until the tasks have ended, both nodes are ready -> copy, verify -> end with the new
    home
                        -> cancel (control API), or permanent failure         -> end with the old one

A copy is deleted only where it is not the home and no task uses it, by its creation time, and while the home has the
same data and reports it: so no step, after whatever crash, can delete the last copy.
"""

from dataclasses import dataclass
from enum import Enum

from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from manager.volumes.volume_homes import has_ended, home_of, live_users
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.volume_pb2 import StaleVolumeCopy, Volume, VolumeMove, VolumeMoveStatus, VolumeStatus


@dataclass(frozen=True)
class Wait:
    """Wait; `why` is one line."""

    why: str


@dataclass(frozen=True)
class StartCopy:
    """No task uses the volume, and both nodes are ready."""


@dataclass(frozen=True)
class Fail:
    """The move cannot succeed; `why` is one line."""

    why: str


MoveStep = Wait | StartCopy | Fail


class StaleCopyStep(Enum):
    """What to do with a stale copy."""

    WAIT = "wait"
    DELETE = "delete"
    FORGET = "forget"


def next_step(view: View, volume: Volume, move: VolumeMove) -> MoveStep:
    """The next step of a move in the volume's record."""
    if volume.removing:
        return Fail(f'volume "{volume.spec.name}" is being removed')
    for node_id in (move.from_node_id, move.to_node_id):
        if node_id not in view.nodes:
            return Fail(f"node {node_id} was removed")
    if not has_ended(view, volume, move.slot):
        return Wait("waiting for the tasks that use it to stop")
    for node_id in (move.from_node_id, move.to_node_id):
        if not is_ready(view, node_id):
            return Wait(f"waiting for node {hostname_of(view, node_id)}, which is down")
    return StartCopy()


def stale_copy_step(view: View, volume: Volume, copy: StaleVolumeCopy) -> StaleCopyStep:
    """The next step for a stale copy."""
    node_id, home = copy.node_id, home_of(view, volume, copy.slot)
    is_in_use = any(task.node_id == node_id for task in live_users(view, volume, copy.slot))
    if node_id not in view.nodes or home not in ("", copy.home_node_id) or is_in_use:
        return StaleCopyStep.FORGET
    is_safe = has_data(view, copy.home_node_id, volume.meta.id, copy.slot)
    return StaleCopyStep.DELETE if is_safe and is_ready(view, node_id) else StaleCopyStep.WAIT


def has_data(view: View, node_id: str, volume_id: str, slot: int) -> bool:
    """Whether the node reports that it has the data."""
    record = view.node_volumes.get(node_id)
    volumes = record.volumes if record is not None else ()
    return any(held.volume_id == volume_id and held.slot == slot for held in volumes)


def is_ready(view: View, node_id: str) -> bool:
    """Whether the node is READY."""
    status = view.node_status.get(node_id)
    return status is not None and status.state == NodeStatus.READY


def has_work(volume: Volume, status: VolumeStatus | None) -> bool:
    """Whether there is something to do, or to report."""
    return bool(volume.moves or volume.stale_copies or unfinished(status))


def unfinished(status: VolumeStatus | None) -> list[VolumeMoveStatus]:
    """Moves whose status is not final."""
    return [move for move in status.moves if move.state < VolumeMoveStatus.DONE] if status is not None else []


def move_of(volume: Volume | None, slot: int) -> VolumeMove | None:
    """The move of a slot, if any."""
    return next((move for move in volume.moves if move.slot == slot), None) if volume is not None else None
