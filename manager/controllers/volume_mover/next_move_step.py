"""Decides the next step of a volume move, and of its stale copies. Pure.

    begin (control API) -> wait until the tasks have ended, both nodes answer -> copy, verify -> end with the new home
                        -> cancel (control API), or what cannot succeed      -> end with the old one

A copy is deleted only where it is no home and no task has it, by the time it was made at, and while the home is the one
that has the same data, and reports it: so no pass, after whatever crash, can delete the last one.
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
    """For what `why` says; one line."""

    why: str


@dataclass(frozen=True)
class Copy:
    """All is still, and both nodes are there."""


@dataclass(frozen=True)
class Fail:
    """It can never be done."""

    why: str


MoveStep = Wait | Copy | Fail


class StaleCopyStep(Enum):
    """Of a copy that was left behind."""

    WAIT = "wait"
    DELETE = "delete"
    FORGET = "forget"


def next_step(view: View, volume: Volume, move: VolumeMove) -> MoveStep:
    """Of a move that is in the volume's record."""
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
    return Copy()


def stale_copy_step(view: View, volume: Volume, copy: StaleVolumeCopy) -> StaleCopyStep:
    """Of a copy that a move has left behind."""
    node_id, home = copy.node_id, home_of(view, volume, copy.slot)
    is_in_use = any(task.node_id == node_id for task in live_users(view, volume, copy.slot))
    if node_id not in view.nodes or home not in ("", copy.home_node_id) or is_in_use:
        return StaleCopyStep.FORGET
    is_safe = has_data(view, copy.home_node_id, volume.meta.id, copy.slot)
    return StaleCopyStep.DELETE if is_safe and is_ready(view, node_id) else StaleCopyStep.WAIT


def has_data(view: View, node_id: str, volume_id: str, slot: int) -> bool:
    """Whether the node says that it has the data."""
    record = view.node_volumes.get(node_id)
    volumes = record.volumes if record is not None else ()
    return any(held.volume_id == volume_id and held.slot == slot for held in volumes)


def is_ready(view: View, node_id: str) -> bool:
    """Whether the node answers."""
    status = view.node_status.get(node_id)
    return status is not None and status.state == NodeStatus.READY


def has_work(volume: Volume, status: VolumeStatus | None) -> bool:
    """Whether there is something to do, or to be told."""
    return bool(volume.moves or volume.stale_copies or unfinished(status))


def unfinished(status: VolumeStatus | None) -> list[VolumeMoveStatus]:
    """Moves that were not told to have ended."""
    return [move for move in status.moves if move.state < VolumeMoveStatus.DONE] if status is not None else []


def move_of(volume: Volume | None, slot: int) -> VolumeMove | None:
    """That of a slot."""
    return next((move for move in volume.moves if move.slot == slot), None) if volume is not None else None
