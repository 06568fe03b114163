"""How far moves of a volume are, for listings and for events. Pure."""

from collections.abc import Iterator

from manager.control_api.lookup import hostname_of
from manager.store.tables import View
from shoal.amounts import size
from shoal.api.v1.control_pb2 import VolumeMoveView
from shoal.api.v1.volume_pb2 import Volume, VolumeMove, VolumeMoveStatus, VolumeStatus

Action = tuple[str, str]
"""Of an event: the action, and its message."""

_ENDED = {
    VolumeMoveStatus.DONE: "move-done",
    VolumeMoveStatus.FAILED: "move-failed",
    VolumeMoveStatus.CANCELLED: "move-cancelled",
}


def moving(view: View, volume: Volume, status: VolumeStatus | None) -> Iterator[VolumeMoveView]:
    """The moves of a volume that are under way, by slot."""
    told = {(each.slot, each.began_at_ms): each for each in status.moves} if status is not None else {}
    for move in sorted(volume.moves, key=lambda move: move.slot):
        now = told.get((move.slot, move.began_at_ms))
        now = now if now is not None else _begun(move)
        yield VolumeMoveView(
            status=now,
            from_hostname=hostname_of(view, move.from_node_id),
            to_hostname=hostname_of(view, move.to_node_id),
            percent=percent(now),
        )


def _begun(move: VolumeMove) -> VolumeMoveStatus:
    return VolumeMoveStatus(
        slot=move.slot,
        from_node_id=move.from_node_id,
        to_node_id=move.to_node_id,
        began_at_ms=move.began_at_ms,
        state=VolumeMoveStatus.WAITING,
    )


def percent(status: VolumeMoveStatus) -> int:
    """Of the data, copied or verified so far; 0 while nobody knows how much there is."""
    return min(100, 100 * status.bytes // status.total_bytes) if status.total_bytes else 0


def started(view: View, old: Volume, new: Volume) -> Iterator[Action]:
    """Moves that the new record has, and the old one has not."""
    for move in new.moves:
        if move not in old.moves:
            yield "move-started", _of_slot(move.slot, _way(view, move))


def is_told(old: VolumeStatus, new: VolumeStatus) -> bool:
    """Whether a change of a volume's status has events; mere progress has none. Cheap."""
    return [_key(each) for each in old.moves] != [_key(each) for each in new.moves]


def _key(status: VolumeMoveStatus) -> tuple[int, int, int, str, int]:
    return status.slot, status.began_at_ms, status.state, status.message, status.attempts


def actions(view: View, old: VolumeStatus, new: VolumeStatus) -> Iterator[Action]:
    """What a change of a volume's status says of its moves."""
    before = {(each.slot, each.began_at_ms): each for each in old.moves}
    for status in new.moves:
        earlier = before.get((status.slot, status.began_at_ms), VolumeMoveStatus())
        if _key(earlier) != _key(status):
            for action, message in _actions(view, earlier, status):
                yield action, _of_slot(status.slot, message)


def _actions(view: View, old: VolumeMoveStatus, new: VolumeMoveStatus) -> Iterator[Action]:
    if new.attempts > old.attempts:
        is_first = new.attempts == 1
        yield ("move-copying", size(new.total_bytes)) if is_first else ("move-resumed", _share(new))
    if new.state == VolumeMoveStatus.WAITING and new.message:
        yield "move-waiting", new.message
    elif new.state == VolumeMoveStatus.VERIFYING and old.state != new.state:
        yield "move-verifying", f"{size(new.total_bytes)} copied"
    elif new.state == VolumeMoveStatus.DONE:
        yield _ENDED[new.state], f"{_way(view, new)}, {size(new.total_bytes)}"
    elif new.state in _ENDED:
        why = f": {new.message}" if new.message else ""
        yield _ENDED[new.state], f"{_way(view, new)}, after {_share(new)}{why}"


def _way(view: View, move: VolumeMove | VolumeMoveStatus) -> str:
    return f"from node {hostname_of(view, move.from_node_id)} to node {hostname_of(view, move.to_node_id)}"


def _share(status: VolumeMoveStatus) -> str:
    return f"{percent(status)}% of {size(status.total_bytes)} copied" if status.total_bytes else "nothing copied"


def _of_slot(slot: int, message: str) -> str:
    return f"slot {slot}: {message}" if slot else message
