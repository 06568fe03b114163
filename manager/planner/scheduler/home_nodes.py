"""Home nodes of volumes: a task runs where the data of its volumes is, and that node is recorded once.

A volume per slot has a home for each slot; a volume of a service with one task has one. A task whose home is down,
drained or full waits for it, without limit or for as long as the spec says; after that it fails over and begins with
an empty volume. The data is given up with the removal of its node. Only `set_volume_home` changes a home, after a
placement (`claim`, `adopt`); what the user does stands in `Volume.homes`, which applies while it is newer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from manager.planner.draft import Draft
from manager.planner.spec.mount_rules import has_one_task, is_exclusive, is_node_local
from manager.planner.spec.problem_texts import waiting_for_volume
from manager.planner.spec.task_owners import has_owner
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import Task
from shoal.api.v1.volume_pb2 import VolumeHome, VolumeMove
from shoal.task_states import is_live, should_run
from shoal.utc_text import utc_text
from shoal.volume_slots import volume_slot


@dataclass(frozen=True)
class RequiredNode:
    """Where a task has to run.

    Attributes:
        node_id: empty when its volumes lie on several nodes, so that it can run nowhere.
        volume: the name of one that binds it.
        part: the slot that its part of the volume is of; 0 for a volume that is not per slot.
        failover_at_ms: when it may go elsewhere, if the node is down and the spec has `failover_after`; else None.
    """

    node_id: str
    volume: str
    failover_at_ms: int | None = None
    part: int = 0


@dataclass(frozen=True)
class _MountUse:
    volume_id: str
    name: str
    failover_after_ms: int | None
    use: VolumeOptions
    exclusive: bool

    @property
    def per_slot(self) -> bool:
        return self.use.per_slot

    def part(self, slot: int) -> int:
        """The number of a slot's home: 0 for a volume that is not per slot."""
        return volume_slot(self.use, slot)


class HomeNodes:
    """The home nodes of one service's volumes, by its effective spec. False where there are none."""

    def __init__(self, draft: Draft, service_id: str, spec: ServiceSpec) -> None:
        self._draft = draft
        self._service_id = service_id
        single = has_one_task(spec)
        mounts = spec.task.container.mounts
        self._uses = [_use(each) for each in mounts if each.volume.per_slot or (single and is_node_local(each))]

    def __bool__(self) -> bool:
        return bool(self._uses)

    def home(self, slot: int) -> RequiredNode | None:
        """The node that the slot is bound to; None when it may go anywhere."""
        homes = self.homes(slot)
        if len(homes) > 1:
            return RequiredNode("", " and ".join(sorted(home.volume for home in homes)))
        return next(iter(homes), None)

    def homes(self, slot: int) -> list[RequiredNode]:
        """The nodes on which the slot's volumes lie, each with one of these; with more than one it can run nowhere."""
        homes: dict[str, RequiredNode] = {}
        for use in self._uses:
            place = self._newest(use, slot) or self._find_data(use, slot)
            if place is None or place.node_id not in self._draft.view.nodes:
                continue
            home = self._bound(use, place)
            if home is not None:
                homes.setdefault(home.node_id, home)
        return list(homes.values())

    def recorded_node(self) -> str:
        """The recorded home of a service with one task; empty when there is none."""
        places = (self._newest(use, 0) for use in self._uses if not use.per_slot)
        return next((place.node_id for place in places if place is not None), "")

    def claim(self, slot: int, node_id: str) -> None:
        """Record the node as the home of the slot's volumes."""
        for use in self._uses:
            self._set(use, slot, node_id)

    def adopt(self) -> None:
        """Record the node of the service's one task as the home, if it was placed before its volume had a home, or when
        the service had several tasks. Not while a task of another service uses the volume at its home."""
        for use in self._uses:
            if use.per_slot or (task := self._newest_user(use)) is None:
                continue
            place = self._newest(use, 0)
            if place is None or not (self._is_set_by_user(use, place) or self._has_users(use, place.node_id)):
                self._set(use, 0, task.node_id)

    def move_reason(self, slot: int | str) -> str:
        """Why tasks of the slot are stopped and pending while their data is moved to another node; else empty."""
        for use in self._uses:
            move = self._move(use, slot if isinstance(slot, int) else 0)
            if move is not None:
                return f"volume {use.name} is being moved to node {self._draft.hostname(move.to_node_id)}"
        return ""

    def occupied_reason(self, slot: int, node_id: str) -> str:
        """Why the slot waits for a task on the node that is stopping, also of a removed service; else empty."""
        uses = [use for use in self._uses if use.exclusive]
        for task in self._draft.view.tasks_on(node_id).values() if uses else ():
            if self._is_ending(task) and any(self._has(task, use, slot) for use in uses):
                names = " and ".join(use.name for use in uses)
                return (
                    f"waiting until task {task.id} on node {self._draft.hostname(node_id)} "
                    f"has ended, which uses {names}"
                )
        return ""

    def _newest(self, use: _MountUse, slot: int) -> VolumeHome | None:
        """The newest record of the home: the planner's own, or the user's."""
        part = use.part(slot)
        place = self._draft.volume_home(use.volume_id, part)
        volume = self._draft.view.volumes.get(use.volume_id)
        for put in volume.homes if volume is not None else ():
            if put.slot == part and (place is None or put.since_ms > place.since_ms):
                place = put
        return place

    def _is_set_by_user(self, use: _MountUse, place: VolumeHome) -> bool:
        return place != self._draft.volume_home(use.volume_id, 0)

    def _set(self, use: _MountUse, slot: int, node_id: str) -> None:
        part = use.part(slot)
        written, newest = self._draft.volume_home(use.volume_id, part), self._newest(use, slot)
        if newest is None or newest is not written or newest.node_id != node_id:
            since_ms = max(self._draft.now_ms, newest.since_ms if newest is not None else 0)
            place = VolumeHome(volume_id=use.volume_id, slot=part, node_id=node_id, since_ms=since_ms)
            self._draft.set_volume_home(place)

    def _find_data(self, use: _MountUse, slot: int) -> VolumeHome | None:
        """Where the data of a volume without a home is: where the service's newest task was, else the newest data."""
        if use.part(slot):
            return None
        found = self._draft.cached("local volumes", self._read_node_volumes).get(use.volume_id, {})
        if not found:
            return None
        tasks = self._draft.view.tasks_of(self._service_id).values()
        newest = max((task for task in tasks if task.node_id in found), key=_age, default=None)
        node_id = newest.node_id if newest is not None else max(found, key=lambda each: (found[each], each))
        return VolumeHome(volume_id=use.volume_id, node_id=node_id)

    def _read_node_volumes(self) -> dict[str, dict[str, int]]:
        """When each node created its volumes that are not per slot, by volume and node."""
        found: dict[str, dict[str, int]] = {}
        view = self._draft.view
        for node_id, record in view.node_volumes.items():
            for held in record.volumes if node_id in view.nodes else ():
                if not held.slot:
                    found.setdefault(held.volume_id, {})[node_id] = held.created_at_ms
        return found

    def _bound(self, use: _MountUse, place: VolumeHome) -> RequiredNode | None:
        status = self._draft.down_status(place.node_id)
        if status is None or use.failover_after_ms is None:
            return RequiredNode(place.node_id, use.name, part=place.slot)
        until = status.since_ms + use.failover_after_ms
        if until <= self._draft.now_ms:
            return None
        self._draft.requeue_at(self._service_id, until)
        return RequiredNode(place.node_id, use.name, until, place.slot)

    def _move(self, use: _MountUse, slot: int) -> VolumeMove | None:
        volume = self._draft.view.volumes.get(use.volume_id)
        moves = volume.moves if volume is not None else ()
        return next((move for move in moves if move.slot == use.part(slot)), None)

    def _newest_user(self, use: _MountUse) -> Task | None:
        """The newest of the service's tasks that is wanted, and has the volume."""
        return max(
            (task for task in self._staying() if task.node_id and self._has(task, use, 0)), key=_age, default=None
        )

    def _staying(self) -> Iterator[Task]:
        view = self._draft.view
        for task in view.tasks_of(self._service_id).values():
            if should_run(task) and not self._draft.is_stopping(task) and is_live(task, view.task_status.get(task.id)):
                yield task

    def _has_users(self, use: _MountUse, node_id: str) -> bool:
        on_node = self._draft.view.tasks_on(node_id).values()
        return any(self._lives(task) and not self._is_ending(task) and self._has(task, use, 0) for task in on_node)

    def _is_ending(self, task: Task) -> bool:
        desired = should_run(task) and not self._draft.is_stopping(task) and has_owner(self._draft.view, task)
        return not desired and self._lives(task)

    def _lives(self, task: Task) -> bool:
        return is_live(task, self._draft.view.task_status.get(task.id))

    def _has(self, task: Task, use: _MountUse, slot: int) -> bool:
        record = self._draft.view.revision_of(task.service_id, task.revision)
        mounts = record.spec.task.container.mounts if record is not None else ()
        return any(
            each.source == use.volume_id and volume_slot(each.volume, task.slot) == use.part(slot) for each in mounts
        )


def waiting_reason(home: RequiredNode, slot: int, hostname: str, why: str, since_ms: int) -> str:
    """Why a task is not placed, one line for the user.

    Args:
        why: what the node is or lacks: "down", "lacks 512 MiB of memory".
        since_ms: milliseconds since the Unix epoch.
    """
    if not home.node_id:
        return (
            f"volumes {home.volume} of task {slot} are on different nodes; move "
            "them to one node with `shoal volume move`"
        )
    state = f"is {why}" if why in _STATES else why
    text = waiting_for_volume(utc_text(since_ms), home.volume, hostname, state)
    if home.failover_at_ms is not None:
        return f"{text}; fails over at {utc_text(home.failover_at_ms)} with an empty volume"
    move = f"shoal volume move {f'--slot {home.part} ' if home.part else ''}{home.volume} --to NODE"
    remedy = _STATES.get(why, _MOVE).format(node=hostname, move=move)
    return f"{text}; {remedy}"


_MOVE = "free resources there, or move the data with `{move}`"
_ACTIVATE = "start it there with `shoal node update --availability active {node}`, or move the data with `{move}`"
_DISCARD = "it starts when the node is back; discard the data with `shoal node rm {node}`"
_STATES = {"down": _DISCARD, "not connected yet": _DISCARD, "drained": _ACTIVATE, "paused": _ACTIVATE}


def _use(mount: Mount) -> _MountUse:
    use = mount.volume
    failover_after_ms = use.failover_after_ms if use.HasField("failover_after_ms") else None
    return _MountUse(mount.source, use.name, failover_after_ms, use, is_exclusive(mount))


def _age(task: Task) -> tuple[int, str]:
    return task.created_at_ms, task.id
