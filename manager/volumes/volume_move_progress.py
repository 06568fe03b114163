"""Progress of volume moves, for listings and events. Pure."""

from collections.abc import Iterator

from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.control_pb2 import VolumeMoveView
from shoal.api.v1.volume_pb2 import Volume, VolumeMove, VolumeMoveStatus, VolumeStatus
from shoal.unit_formats import size

EventText = tuple[str, str]
"""Action and message of an event."""

_ENDED = {
    VolumeMoveStatus.DONE: "move-done",
    VolumeMoveStatus.FAILED: "move-failed",
    VolumeMoveStatus.CANCELLED: "move-cancelled",
}


def moves_in_progress(view: View, volume: Volume, status: VolumeStatus | None) -> Iterator[VolumeMoveView]:
    """The moves of a volume that are in progress, by slot."""
    known = {(each.slot, each.started_at_ms): each for each in status.moves} if status is not None else {}
    for move in sorted(volume.moves, key=lambda move: move.slot):
        status_now = known.get((move.slot, move.started_at_ms))
        status_now = status_now if status_now is not None else _initial_status(move)
        yield VolumeMoveView(
            status=status_now,
            from_hostname=hostname_of(view, move.from_node_id),
            to_hostname=hostname_of(view, move.to_node_id),
            percent=percent(status_now),
        )


def _initial_status(move: VolumeMove) -> VolumeMoveStatus:
    return VolumeMoveStatus(
        slot=move.slot,
        from_node_id=move.from_node_id,
        to_node_id=move.to_node_id,
        started_at_ms=move.started_at_ms,
        state=VolumeMoveStatus.WAITING,
    )


def percent(status: VolumeMoveStatus) -> int:
    """Percentage of the data copied or verified so far; 0 until its size is known."""
    return min(100, 100 * status.bytes // status.total_bytes) if status.total_bytes else 0


def started(view: View, old: Volume, new: Volume) -> Iterator[EventText]:
    """Moves that only the new record has."""
    for move in new.moves:
        if move not in old.moves:
            yield "move-started", _of_slot(move.slot, _route(view, move))


def has_events(old: VolumeStatus, new: VolumeStatus) -> bool:
    """Whether a change of a volume's status has events; progress alone has none. Cheap."""
    return [_key(each) for each in old.moves] != [_key(each) for each in new.moves]


def _key(status: VolumeMoveStatus) -> tuple[int, int, int, str, int]:
    return status.slot, status.started_at_ms, status.state, status.message, status.attempts


def actions(view: View, old: VolumeStatus, new: VolumeStatus) -> Iterator[EventText]:
    """Events of moves in a change of a volume's status."""
    before = {(each.slot, each.started_at_ms): each for each in old.moves}
    for status in new.moves:
        earlier = before.get((status.slot, status.started_at_ms), VolumeMoveStatus())
        if _key(earlier) != _key(status):
            for action, message in _actions(view, earlier, status):
                yield action, _of_slot(status.slot, message)


def _actions(view: View, old: VolumeMoveStatus, new: VolumeMoveStatus) -> Iterator[EventText]:
    if new.attempts > old.attempts:
        is_first = new.attempts == 1
        yield ("move-copying", size(new.total_bytes)) if is_first else ("move-resumed", _copied_share(new))
    if new.state == VolumeMoveStatus.WAITING and new.message:
        yield "move-waiting", new.message
    elif new.state == VolumeMoveStatus.VERIFYING and old.state != new.state:
        yield "move-verifying", f"{size(new.total_bytes)} copied"
    elif new.state == VolumeMoveStatus.DONE:
        yield _ENDED[new.state], f"{_route(view, new)}, {size(new.total_bytes)}"
    elif new.state in _ENDED:
        why = f": {new.message}" if new.message else ""
        yield _ENDED[new.state], f"{_route(view, new)}, after {_copied_share(new)}{why}"


def _route(view: View, move: VolumeMove | VolumeMoveStatus) -> str:
    return f"from node {hostname_of(view, move.from_node_id)} to node {hostname_of(view, move.to_node_id)}"


def _copied_share(status: VolumeMoveStatus) -> str:
    return f"{percent(status)}% of {size(status.total_bytes)} copied" if status.total_bytes else "nothing copied"


def _of_slot(slot: int, message: str) -> str:
    return f"slot {slot}: {message}" if slot else message
