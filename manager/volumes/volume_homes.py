"""Changes of a volume's home node, as moves make them. Pure: each returns the changed record.

While a move is in the record, the planner stops the tasks that mount the data, and starts none. `end_move` with the
new node lets them start there once it is committed; the planner then writes the home itself. Before a copy begins, all
of the volume's tasks have to have ended: see `has_ended`.
"""

from collections.abc import Iterator

from manager.store.tables import View
from shoal.api.v1.task_pb2 import Task
from shoal.api.v1.volume_pb2 import Volume, VolumeMove
from shoal.task_states import is_live
from shoal.volume_slots import volume_slot


def home_of(view: View, volume: Volume, slot: int) -> str:
    """The ID of the home node of the data; empty when it has none."""
    places = [place for place in volume.homes if place.slot == slot]
    if (written := view.volume_homes.get(f"{volume.meta.id}/{slot}")) is not None:
        places.append(written)
    return max(places, key=lambda place: place.since_ms).node_id if places else ""


def begin_move(volume: Volume, *, slot: int, from_node_id: str, to_node_id: str, now_ms: int) -> Volume:
    """Stop the tasks that mount the data, and start none. Replaces an earlier move of the slot."""
    made = _without_move(volume, slot)
    made.moves.append(VolumeMove(slot=slot, from_node_id=from_node_id, to_node_id=to_node_id, started_at_ms=now_ms))
    return made


def end_move(volume: Volume, *, slot: int, home: str, now_ms: int) -> Volume:
    """Let the tasks start again, where the data is now.

    Args:
        home: the ID of the target once it has all of the data; empty to leave the home where it was.
    """
    made = _without_move(volume, slot)
    if home:
        others = [place for place in made.homes if place.slot != slot]
        del made.homes[:]
        made.homes.extend(others)
        made.homes.add(volume_id=volume.meta.id, slot=slot, node_id=home, since_ms=now_ms)
    return made


def cancel_move(volume: Volume, move: VolumeMove, *, now_ms: int) -> Volume:
    """The home stays where it was; the copy on the target becomes stale, complete or not."""
    made = end_move(volume, slot=move.slot, home="", now_ms=now_ms)
    made.stale_copies.add(
        slot=move.slot,
        node_id=move.to_node_id,
        created_at_ms=move.started_at_ms,
        home_node_id=move.from_node_id,
    )
    return made


def has_ended(view: View, volume: Volume, slot: int) -> bool:
    """Whether no task may still write to the data: all have ended, as confirmed by their nodes."""
    return next(live_users(view, volume, slot), None) is None


def live_users(view: View, volume: Volume, slot: int) -> Iterator[Task]:
    """Tasks on nodes that mount the data, and may still write to it."""
    mounting = {
        key: [each.volume for each in record.spec.task.container.mounts if each.source == volume.meta.id]
        for key, record in view.revisions.items()
        if any(each.source == volume.meta.id for each in record.spec.task.container.mounts)
    }
    for service_id in {view.revisions[key].service_id for key in mounting}:
        for task in view.tasks_of(service_id).values():
            uses = mounting.get(f"{service_id}/{task.revision}", ())
            is_mounted = any(volume_slot(use, task.slot) == slot for use in uses)
            if is_mounted and task.node_id and is_live(task, view.task_status.get(task.id)):
                yield task


def _without_move(volume: Volume, slot: int) -> Volume:
    made = Volume()
    made.CopyFrom(volume)
    others = [move for move in volume.moves if move.slot != slot]
    del made.moves[:]
    made.moves.extend(others)
    return made
