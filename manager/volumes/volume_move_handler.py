"""Volume move calls: start and cancel moves of local volumes."""

from collections import defaultdict
from collections.abc import Iterator

from manager.interfaces import NowMs
from manager.planner.spec.mount_rules import has_one_task
from manager.records.object_lookup import find_node, find_volume, hostname_of, is_down
from manager.store.changes import expect, put
from manager.store.kinds import VOLUME
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.volumes import volume_references
from manager.volumes.volume_drivers import is_csi
from manager.volumes.volume_handler import views
from manager.volumes.volume_homes import begin_move, cancel_move, home_of
from shoal.api.v1.control_pb2 import CancelVolumeMoveRequest, MoveVolumeRequest, VolumeView
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.api.v1.volume_pb2 import Volume, VolumeMove
from shoal.errors import Refused
from shoal.rpc.caller import Caller


class VolumeMoveHandler:
    """The calls about moves. The leader carries them out (`manager.controllers.volume_mover`)."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def move(self, request: MoveVolumeRequest, caller: Caller) -> VolumeView:
        """Start a move; repeating the request while it is in progress changes nothing.

        Raises:
            NotFound: no such volume or node. Refused: it cannot be moved at present.
            Conflict: it was changed meanwhile.
        """
        view = self._store.tables
        volume, node = find_volume(view, request.volume), find_node(view, request.node)
        in_progress = _move_of(volume, request.slot)
        if in_progress is not None and in_progress.to_node_id == node.meta.id:
            return self._view(volume)
        if in_progress is not None:
            raise Refused(
                f'volume "{volume.spec.name}" is being moved to node {hostname_of(view, in_progress.to_node_id)}; '
                f"to cancel that move, run `shoal volume move --cancel {volume.spec.name}`"
            )
        source = _source(view, volume, request.slot)
        for reason in _objections(view, volume, node, source, request):
            raise Refused(reason)
        made = begin_move(
            volume, slot=request.slot, from_node_id=source, to_node_id=node.meta.id, now_ms=self._now_ms()
        )
        made.moves[-1].replace = request.replace
        return await self._commit(volume, made)

    async def cancel(self, request: CancelVolumeMoveRequest, caller: Caller) -> VolumeView:
        """Cancel a move; the home of the data stays where it was. Raises Refused when there is none."""
        volume = find_volume(self._store.tables, request.volume)
        move = _move_of(volume, request.slot)
        if move is None:
            raise Refused(f'volume "{volume.spec.name}" is not being moved')
        return await self._commit(volume, cancel_move(volume, move, now_ms=self._now_ms()))

    async def _commit(self, volume: Volume, made: Volume) -> VolumeView:
        step = [put(VOLUME, volume.meta.id, made)]
        await self._store.commit(step, expects=[expect(VOLUME, volume.meta.id, volume.meta.version)])
        return self._view(self._store.tables.volumes[volume.meta.id])

    def _view(self, volume: Volume) -> VolumeView:
        return next(views(self._store.tables, [volume]))


def _move_of(volume: Volume, slot: int) -> VolumeMove | None:
    return next((move for move in volume.moves if move.slot == slot), None)


def _source(view: View, volume: Volume, slot: int) -> str:
    """The node to copy the data from. Raises Refused when there is none, or it is ambiguous."""
    name = volume.spec.name
    if is_csi(volume.spec):
        raise Refused(
            f'volume "{name}" uses driver {volume.spec.driver}, which '
            "attaches it wherever it is needed; it need not be moved"
        )
    if volume.spec.options:
        raise Refused(f'volume "{name}" has mount options, so Shoal does not manage its data; copy the data yourself')
    held = defaultdict[int, list[str]](list)
    for node_id, slots in sorted(_slots_by_node(view, volume)):
        for each in slots:
            held[each].append(node_id)
    if slot not in held:
        if slot and 0 in held and slot in volume_references.whole_slots(view, volume.meta.id):
            raise Refused(f'slot {slot} uses the whole data of volume "{name}"; omit `--slot`')
        if held:
            with_data = ", ".join(map(str, sorted(held)))
            raise Refused(f'volume "{name}" is per-slot; use `--slot N` (slots with data: {with_data})')
        raise Refused(f'volume "{name}" has no data yet')
    home = home_of(view, volume, slot)
    if home in held[slot]:
        return home
    if home or len(held[slot]) > 1:
        names = ", ".join(hostname_of(view, node_id) for node_id in held[slot])
        raise Refused(f'volume "{name}" has data on {names}, but none of them is its home node')
    return held[slot][0]


def _slots_by_node(view: View, volume: Volume) -> Iterator[tuple[str, frozenset[int]]]:
    for node_id, record in view.node_volumes.items():
        slots = frozenset(each.slot for each in record.volumes if each.volume_id == volume.meta.id)
        if slots and node_id in view.nodes:
            yield node_id, slots


def _objections(view: View, volume: Volume, node: Node, source: str, request: MoveVolumeRequest) -> Iterator[str]:
    """Why it cannot be moved there, and what to do."""
    name, to, where = volume.spec.name, hostname_of(view, node.meta.id), hostname_of(view, source)
    if volume.removing:
        yield f'volume "{name}" is being removed'
    if source == node.meta.id:
        yield f'volume "{name}" is already on node {to}'
    for node_id in (source, node.meta.id):
        if is_down(view, node_id):
            yield f"node {hostname_of(view, node_id)} is down; both nodes must be up during the move"
    if node.spec.availability not in (NodeSpec.ACTIVE, NodeSpec.AVAILABILITY_UNSPECIFIED):
        yield (f"node {to} does not accept tasks; to change that, run `shoal node update --availability active {to}`")
    if any(each.node_id == node.meta.id and each.slot == request.slot for each in volume.stale_copies):
        yield f'node {to} has not yet deleted an earlier copy of volume "{name}"; try again in a moment'
    slots = dict(_slots_by_node(view, volume))
    if request.slot in slots.get(node.meta.id, ()) and not request.replace:
        yield (
            f'node {to} has older data of volume "{name}" (current data: node {where}); '
            "to delete the older data once the copy is complete, use `--replace`"
        )
    for container in view.containers.values():
        for _, mount in volume_references.volume_mounts(container.definition.task.container):
            if mount.source == volume.meta.id:
                yield f'container {container.name} uses volume "{name}" and stays on node {where}; remove it first'
    for service in view.services.values():
        for _, mount in volume_references.volume_mounts(service.spec.task.container):
            if mount.source == volume.meta.id and not mount.volume.per_slot and not has_one_task(service.spec):
                yield (
                    f'service {service.spec.name} mounts volume "{name}" in several tasks, each using '
                    f"its own node's data; scale it down first: `shoal service scale {service.spec.name}=1`"
                )
