"""Tasks that are pending because their volume's data is on a certain node. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from manager.planner.spec.problem_texts import is_wait_for_volume
from manager.store.tables import View
from manager.volumes.volume_homes import home_of
from shoal.api.v1.task_pb2 import Task
from shoal.utc_text import utc_text
from shoal.volume_slots import volume_slot

_SHOWN = 3
"""Tasks of a node that are named."""


def tasks_waiting_for_data(view: View) -> Mapping[str, str]:
    """One line for the user for each node that tasks wait for, by its ID."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    waiting = [
        status.service_id for status in view.service_status.values() if any(map(is_wait_for_volume, status.problems))
    ]
    for task in (task for service_id in waiting for task in view.tasks_of(service_id).values()):
        for node_id, volume in _homes(view, task) if not task.node_id and is_wait_for_volume(task.reason) else ():
            service = view.services.get(task.service_id)
            name = service.spec.name if service is not None else task.service_id
            found[node_id].append(f"{name}.{task.slot} (volume {volume}, since {utc_text(task.created_at_ms)})")
    return {node_id: _line(sorted(tasks)) for node_id, tasks in found.items()}


def _homes(view: View, task: Task) -> Iterator[tuple[str, str]]:
    """Home nodes of the task's volumes, with the name of one volume each."""
    record = view.revision_of(task.service_id, task.revision)
    homes: dict[str, str] = {}
    for mount in record.spec.task.container.mounts if record is not None else ():
        volume = view.volumes.get(mount.source)
        home = home_of(view, volume, volume_slot(mount.volume, task.slot)) if volume is not None else ""
        if home:
            homes.setdefault(home, mount.volume.name)
    yield from homes.items()


def _line(tasks: Sequence[str]) -> str:
    more = [f"{len(tasks) - _SHOWN} more"] if len(tasks) > _SHOWN else []
    return f"tasks are waiting for volume data on this node: {', '.join([*tasks[:_SHOWN], *more])}"
