"""Deletes what removed services and tasks leave behind: tasks, statuses and revisions."""

from collections.abc import Iterable

from manager.planner.draft import Draft
from manager.planner.slots.slot_tasks import classify_dirty
from manager.store import kinds
from manager.store.changes import delete
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.task_pb2 import TaskState


def plan_removal(draft: Draft, service_id: str, revisions: Iterable[str]) -> None:
    """Stop the tasks of a removed service; once none is left, delete its status and its revisions."""
    index = draft.slot_index.of_service(service_id)
    index.mark_all_dirty()
    for slot in classify_dirty(draft, index).values():
        for task in slot.all():
            what = "container" if task.container_id else "service"
            draft.stop(task, TaskState.REMOVE, f"the {what} was removed")
        for task in slot.ended:
            draft.delete_task(task)
    _release_mesh_ports(draft, service_id)
    if all(draft.is_deleted(task) for task in draft.view.tasks_of(service_id).values()):
        if service_id in draft.view.service_status:
            draft.delete_last(delete(kinds.SERVICE_STATUS, service_id))
        for identifier in revisions:
            draft.delete_last(delete(kinds.REVISION, identifier))


def _release_mesh_ports(draft: Draft, service_id: str) -> None:
    """Its ports of the routing mesh are free for other services at once."""
    status = draft.view.service_status.get(service_id)
    if status is not None and status.mesh_ports:
        without = ServiceStatus()
        without.CopyFrom(status)
        del without.mesh_ports[:]
        draft.write_status(without)


def delete_stale_statuses(draft: Draft, task_ids: Iterable[str]) -> None:
    """Delete statuses that a dispatcher wrote while their task was being deleted."""
    for identifier in task_ids:
        if identifier not in draft.view.tasks and identifier in draft.view.task_status:
            draft.delete_last(delete(kinds.TASK_STATUS, identifier))
