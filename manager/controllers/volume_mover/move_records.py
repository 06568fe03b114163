"""How a step of a move changes the records. Pure: each function returns a new record."""

from manager.store.tables import View
from manager.volumes.volume_homes import cancel_move, end_move
from shoal.api.v1.volume_pb2 import StaleVolumeCopy, Volume, VolumeMove, VolumeMoveStatus, VolumeStatus


def completed(view: View, volume: Volume, move: VolumeMove, *, old_copy_ms: int, now_ms: int) -> Volume:
    """The target becomes the home; the source's data becomes a stale copy.

    Args:
        old_copy_ms: when the source's copy was made.
    """
    slot = move.slot
    recorded = view.volume_homes.get(f"{volume.meta.id}/{slot}")
    homes = [*volume.homes, *((recorded,) if recorded is not None else ())]
    newest_ms = max((home.since_ms for home in homes if home.slot == slot), default=0)
    made = end_move(volume, slot=slot, home=move.to_node_id, now_ms=max(now_ms, newest_ms + 1))
    made.stale_copies.add(slot=slot, node_id=move.from_node_id, created_at_ms=old_copy_ms, home_node_id=move.to_node_id)
    return made


def failed(volume: Volume, move: VolumeMove) -> Volume:
    """The home stays; the target's data becomes a stale copy, complete or not."""
    return cancel_move(volume, move, now_ms=0)


def without_stale_copy(volume: Volume, copy: StaleVolumeCopy) -> Volume:
    """The volume without a stale copy that was deleted."""
    made = Volume()
    made.CopyFrom(volume)
    others = [each for each in volume.stale_copies if each != copy]
    del made.stale_copies[:]
    made.stale_copies.extend(others)
    return made


def with_move_status(volume_id: str, status: VolumeStatus | None, move: VolumeMoveStatus) -> VolumeStatus:
    """The volume's status with the slot's newest move.

    What is not known now (how much was copied, the number of attempts) is kept from the previous status.
    """
    made = VolumeStatus(volume_id=volume_id)
    if status is not None:
        made.CopyFrom(status)
    newest, earlier = VolumeMoveStatus(), last_status(made, move)
    newest.CopyFrom(move)
    newest.attempts = max(move.attempts, earlier.attempts)
    if not move.total_bytes:
        newest.bytes, newest.total_bytes = earlier.bytes, earlier.total_bytes
    others = [each for each in made.moves if each.slot != move.slot]
    del made.moves[:]
    made.moves.extend(sorted([*others, newest], key=lambda each: each.slot))
    return made


def last_status(status: VolumeStatus | None, move: VolumeMove | VolumeMoveStatus) -> VolumeMoveStatus:
    """The last reported status of the move; empty if there is none."""
    moves = status.moves if status is not None else ()
    same = (each for each in moves if (each.slot, each.started_at_ms) == (move.slot, move.started_at_ms))
    return next(same, VolumeMoveStatus())


def move_status(
    move: VolumeMove,
    state: VolumeMoveStatus.State.ValueType,
    message: str = "",
    *,
    bytes_done: int = 0,
    total_bytes: int = 0,
    attempts: int = 0,
) -> VolumeMoveStatus:
    """The status of a move."""
    return VolumeMoveStatus(
        slot=move.slot,
        from_node_id=move.from_node_id,
        to_node_id=move.to_node_id,
        started_at_ms=move.started_at_ms,
        state=state,
        bytes=bytes_done,
        total_bytes=total_bytes,
        message=message,
        attempts=attempts,
    )
