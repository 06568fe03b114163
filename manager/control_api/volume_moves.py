"""A local volume's way to another node: what a user may ask for, and the record that begins or cancels it."""

from collections import defaultdict
from collections.abc import Iterator

from manager.control_api import volume_uses
from manager.control_api.lookup import find_node, find_volume, hostname_of, is_down
from manager.control_api.seams import NowMs, Records
from manager.control_api.volume_drivers import is_driven
from manager.control_api.volume_homes import begin_move, cancelled, home_of
from manager.control_api.volumes import views
from manager.planner.mount_rules import has_one_task
from manager.store.changes import expect, put
from manager.store.kinds import VOLUME
from manager.store.tables import View
from shoal.api.v1.control_pb2 import CancelVolumeMoveRequest, MoveVolumeRequest, VolumeView
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.api.v1.volume_pb2 import Volume, VolumeMove
from shoal.errors import Refused


class VolumeMoves:
    """The calls. What comes after is the leader's (`manager.volume_mover`)."""

    def __init__(self, *, store: Records, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def move(self, request: MoveVolumeRequest) -> VolumeView:
        """Begin one; the same again while it is under way changes nothing.

        Raises:
            NotFound: no such volume or node. Refused: it cannot be moved as things are.
            Conflict: somebody else changed it.
        """
        view = self._store.tables
        volume, node = find_volume(view, request.volume), find_node(view, request.node)
        under_way = _move_of(volume, request.slot)
        if under_way is not None and under_way.to_node_id == node.meta.id:
            return self._view(volume)
        if under_way is not None:
            raise Refused(
                f'volume "{volume.spec.name}" is being moved to node {hostname_of(view, under_way.to_node_id)}; '
                f"`shoal volume move --cancel {volume.spec.name}` cancels that"
            )
        source = _source(view, volume, request.slot)
        for reason in _objections(view, volume, node, source, request):
            raise Refused(reason)
        made = begin_move(
            volume, slot=request.slot, from_node_id=source, to_node_id=node.meta.id, now_ms=self._now_ms()
        )
        made.moves[-1].replace = request.replace
        return await self._put(volume, made)

    async def cancel(self, request: CancelVolumeMoveRequest) -> VolumeView:
        """End it; the data's home is where it was. Raises Refused when there is none."""
        volume = find_volume(self._store.tables, request.volume)
        move = _move_of(volume, request.slot)
        if move is None:
            raise Refused(f'volume "{volume.spec.name}" is not being moved')
        return await self._put(volume, cancelled(volume, move, now_ms=self._now_ms()))

    async def _put(self, volume: Volume, made: Volume) -> VolumeView:
        step = [put(VOLUME, volume.meta.id, made)]
        await self._store.commit(step, expects=[expect(VOLUME, volume.meta.id, volume.meta.version)])
        return self._view(self._store.tables.volumes[volume.meta.id])

    def _view(self, volume: Volume) -> VolumeView:
        return next(views(self._store.tables, [volume]))


def _move_of(volume: Volume, slot: int) -> VolumeMove | None:
    return next((move for move in volume.moves if move.slot == slot), None)


def _source(view: View, volume: Volume, slot: int) -> str:
    """The node that the data is to be copied from. Raises Refused when there is none, or nobody can tell which."""
    name = volume.spec.name
    if is_driven(volume.spec):
        raise Refused(f'volume "{name}" is of driver {volume.spec.driver}, which takes it to the nodes that need it')
    if volume.spec.options:
        raise Refused(f'volume "{name}" has options of mount(8): its data lies where they say; copy it there')
    held = defaultdict[int, list[str]](list)
    for node_id, slots in sorted(_held(view, volume)):
        for each in slots:
            held[each].append(node_id)
    if slot not in held:
        if slot and 0 in held and slot in volume_uses.whole_slots(view, volume.meta.id):
            raise Refused(f'slot {slot} has the whole data of volume "{name}" from before; leave `--slot` out')
        if held:
            with_data = ", ".join(map(str, sorted(held)))
            raise Refused(f'volume "{name}" is there for each slot; add `--slot N` (slots with data: {with_data})')
        raise Refused(f'volume "{name}" has no data yet')
    home = home_of(view, volume, slot)
    if home in held[slot]:
        return home
    if home or len(held[slot]) > 1:
        names = ", ".join(hostname_of(view, node_id) for node_id in held[slot])
        raise Refused(f'volume "{name}" has data on {names}, and none of them is its home')
    return held[slot][0]


def _held(view: View, volume: Volume) -> Iterator[tuple[str, frozenset[int]]]:
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
        yield f'volume "{name}" is on node {to} already'
    for node_id in (source, node.meta.id):
        if is_down(view, node_id):
            yield f"node {hostname_of(view, node_id)} is down; it has to answer while the data is copied"
    if node.spec.availability not in (NodeSpec.ACTIVE, NodeSpec.AVAILABILITY_UNSPECIFIED):
        yield f"node {to} takes no tasks; `shoal node update --availability active {to}` changes that"
    if any(each.node_id == node.meta.id and each.slot == request.slot for each in volume.leftovers):
        yield f'node {to} has not deleted an earlier copy of volume "{name}" yet; try again in a moment'
    slots = dict(_held(view, volume))
    if request.slot in slots.get(node.meta.id, ()) and not request.replace:
        yield (
            f'node {to} has older data of volume "{name}", beside that on node {where}; '
            "add `--replace` to delete the older data once the copy is complete"
        )
    for service in view.services.values():
        for _, mount in volume_uses.volume_mounts(service.spec.task.container):
            if mount.source == volume.meta.id and not mount.volume.per_slot and not has_one_task(service.spec):
                yield (
                    f'service {service.spec.name} uses volume "{name}" with several tasks, each with the data of its '
                    f"node; `shoal service scale {service.spec.name}=1` makes it one volume"
                )
