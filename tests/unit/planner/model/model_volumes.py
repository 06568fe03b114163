"""What the model checks of data: one task writes it at a time, and a task is where the data is."""

from collections.abc import Iterable, Iterator, Mapping

from manager.store.tables import View
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.task_pb2 import Task
from shoal.api.v1.volume_pb2 import VolumeHome
from shoal.task_states import is_live, should_run
from shoal.volume_slots import volume_slot
from tests.unit.planner.model.model_counts import COUNTED


def written_by_one(spec: ServiceSpec) -> bool:
    """Whether two tasks of a slot may not be there at once."""
    return any(not mount.shared for mount in spec.task.container.mounts)


def is_on_network(mount: Mount) -> bool:
    """Whether another node may have the same data."""
    return mount.type == Mount.BIND or bool(mount.volume.options)


def homes(view: View, task: Task, spec: ServiceSpec) -> Iterator[str]:
    """Nodes where a task's data lies, as they are written."""
    record = view.revision_of(task.service_id, task.revision)
    has = {mount.source for mount in record.spec.task.container.mounts} if record is not None else set()
    single = spec.HasField("replicated") and spec.replicated.replicas <= 1
    for mount in spec.task.container.mounts:
        part = volume_slot(mount.volume, task.slot)
        if (
            mount.type == Mount.VOLUME
            and mount.source in has
            and (mount.volume.per_slot or (single and not mount.volume.options))
        ):
            place = view.volume_homes.get(f"{mount.source}/{part}")
            yield place.node_id if place is not None else "nowhere"


def split_by_slot(view: View, service: Service) -> ServiceSpec | None:
    """The spec with a volume for each slot, of which the one task's keeps the data; None where there is none."""
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    slots = {task.slot for task in view.tasks_of(service.meta.id).values() if should_run(task)}
    if not spec.HasField("replicated") or spec.replicated.replicas != 1 or len(slots) != 1:
        return None
    for mount in spec.task.container.mounts:
        plain = mount.type == Mount.VOLUME and not mount.volume.per_slot and not mount.volume.options
        if plain and f"{mount.source}/0" in view.volume_homes:
            mount.volume.per_slot, mount.volume.inheriting_slot = True, min(slots)
            return spec
    return None


def check_at_home(view: View, task: Task, spec: ServiceSpec) -> None:
    """A task whose volume has a home is there."""
    for node_id in homes(view, task, spec):
        COUNTED["homes"] += 1
        assert node_id == task.node_id, f"{task.id} is on {task.node_id}, and its data on {node_id}"


def check_alone(view: View, task: Task, spec: ServiceSpec, now_ms: int) -> None:
    """A task that has just been placed is the only one that writes: what was before it in its slot has ended, or is on
    a node that is down and cannot reach the same data, or was waited for as long as the user said."""
    if not written_by_one(spec):
        return
    COUNTED["writers"] += 1
    single = spec.HasField("replicated") and spec.replicated.replicas <= 1
    for other in view.tasks_of(task.service_id).values():
        same = single or (other.slot or other.node_id) == (task.slot or task.node_id)
        lives = other.node_id and is_live(other, view.task_status.get(other.id))
        if other.id == task.id or not same or not lives:
            continue
        status = view.node_status[other.node_id]
        assert status.state == NodeStatus.DOWN, f"{task.id} was placed while {other.id} runs"
        if other.node_id != task.node_id and not any(map(is_on_network, spec.task.container.mounts)):
            continue
        (mount,) = spec.task.container.mounts
        is_over = (
            mount.volume.HasField("failover_after_ms") and status.since_ms + mount.volume.failover_after_ms <= now_ms
        )
        assert is_over, f"{task.id} was placed while {other.id} may run"


def check_homes_stay(view: View, before: Mapping[str, VolumeHome], tasks: Iterable[Task], now_ms: int) -> None:
    """A home changes only when its node is gone, has been down for as long as the user said, or a task of several that
    was on another node is the one that is left.

    Args:
        before: homes before the pass.
        tasks: those before the pass.
    """
    for key, old in before.items():
        new = view.volume_homes.get(key, old)
        if new.node_id == old.node_id or old.node_id not in view.nodes:
            continue
        COUNTED["homes changed"] += 1
        status = view.node_status[old.node_id]
        service = view.services[old.volume_id.rpartition("-")[2]]
        holds = [
            mount.volume.failover_after_ms
            for mount in _mounts(view, service.spec, old)
            if mount.volume.HasField("failover_after_ms")
        ]
        is_over = status.state == NodeStatus.DOWN and any(status.since_ms + hold <= now_ms for hold in holds)
        was_there = any(task.node_id == new.node_id and task.service_id == service.meta.id for task in tasks)
        assert is_over or was_there, f"the home of {key} moved from {old.node_id} to {new.node_id}"


def _mounts(view: View, spec: ServiceSpec, place: VolumeHome) -> Iterator[Mount]:
    """Mounts of the volume in the newest spec, and in those that may be in force."""
    revisions = (record.spec for record in view.revisions.values() if record.spec.name == spec.name)
    for each in (spec, *revisions):
        yield from (mount for mount in each.task.container.mounts if mount.source == place.volume_id)
