"""What to do next about a move, and about copies that moves have left behind. Pure.

    begin (control API) -> wait until the tasks have ended, both nodes answer -> copy, verify -> end with the new home
                        -> cancel (control API), or what cannot succeed      -> end with the old one

A copy is deleted only where it is no home and no task has it, by the time it was made at, and while the home is the one
that has the same data, and reports it: so no pass, after whatever crash, can delete the last one.
"""

from dataclasses import dataclass
from enum import Enum

from manager.control_api.lookup import hostname_of
from manager.control_api.volume_homes import has_ended, home_of, live_users
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.volume_pb2 import Volume, VolumeLeftover, VolumeMove, VolumeMoveStatus, VolumeStatus


@dataclass(frozen=True)
class Wait:
    """For what `why` says; one line."""

    why: str


@dataclass(frozen=True)
class Copy:
    """All is still, and both nodes are there."""


@dataclass(frozen=True)
class Abandon:
    """It can never be done."""

    why: str


Step = Wait | Copy | Abandon


class LeftoverStep(Enum):
    """Of a copy that was left behind."""

    WAIT = "wait"
    DELETE = "delete"
    FORGET = "forget"


def next_step(view: View, volume: Volume, move: VolumeMove) -> Step:
    """Of a move that is in the volume's record."""
    if volume.removing:
        return Abandon(f'volume "{volume.spec.name}" is being removed')
    for node_id in (move.from_node_id, move.to_node_id):
        if node_id not in view.nodes:
            return Abandon(f"node {node_id} was removed")
    if not has_ended(view, volume, move.slot):
        return Wait("waits until the tasks that use it have ended")
    for node_id in (move.from_node_id, move.to_node_id):
        if not is_ready(view, node_id):
            return Wait(f"waits for node {hostname_of(view, node_id)}, which is down")
    return Copy()


def leftover_step(view: View, volume: Volume, leftover: VolumeLeftover) -> LeftoverStep:
    """Of a copy that a move has left behind."""
    node_id, home = leftover.node_id, home_of(view, volume, leftover.slot)
    is_in_use = any(task.node_id == node_id for task in live_users(view, volume, leftover.slot))
    if node_id not in view.nodes or home not in ("", leftover.home_node_id) or is_in_use:
        return LeftoverStep.FORGET
    is_safe = holds(view, leftover.home_node_id, volume.meta.id, leftover.slot)
    return LeftoverStep.DELETE if is_safe and is_ready(view, node_id) else LeftoverStep.WAIT


def holds(view: View, node_id: str, volume_id: str, slot: int) -> bool:
    """Whether the node says that it has the data."""
    record = view.node_volumes.get(node_id)
    volumes = record.volumes if record is not None else ()
    return any(held.volume_id == volume_id and held.slot == slot for held in volumes)


def is_ready(view: View, node_id: str) -> bool:
    """Whether the node answers."""
    status = view.node_status.get(node_id)
    return status is not None and status.state == NodeStatus.READY


def needs_mover(volume: Volume, status: VolumeStatus | None) -> bool:
    """Whether there is something to do, or to be told."""
    return bool(volume.moves or volume.leftovers or unfinished(status))


def unfinished(status: VolumeStatus | None) -> list[VolumeMoveStatus]:
    """Moves that were not told to have ended."""
    return [move for move in status.moves if move.state < VolumeMoveStatus.DONE] if status is not None else []


def move_of(volume: Volume | None, slot: int) -> VolumeMove | None:
    """That of a slot."""
    return next((move for move in volume.moves if move.slot == slot), None) if volume is not None else None
