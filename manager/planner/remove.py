"""What is left of things that are gone: tasks of removed services, statuses of removed tasks, old revisions."""

from collections.abc import Iterable

from manager.planner.draft import Draft
from manager.planner.slots import slots_of
from manager.store import kinds
from manager.store.changes import delete
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.task_pb2 import TaskState


def plan_removal(draft: Draft, service_id: str, revisions: Iterable[str]) -> None:
    """Stop the tasks of a service that is gone; once none is left, delete its status and its revisions."""
    roll = draft.rolls.roll(service_id)
    roll.wake_all()
    for slot in slots_of(draft, roll).values():
        for task in slot.all():
            draft.stop(task, TaskState.REMOVE, "the service was removed")
        for task in slot.ended:
            draft.forget(task)
    _unpublish(draft, service_id)
    if all(draft.is_forgotten(task) for task in draft.view.tasks_of(service_id).values()):
        if service_id in draft.view.service_status:
            draft.bury(delete(kinds.SERVICE_STATUS, service_id))
        for identifier in revisions:
            draft.bury(delete(kinds.REVISION, identifier))


def _unpublish(draft: Draft, service_id: str) -> None:
    """Ports of every node are free for others at once."""
    status = draft.view.service_status.get(service_id)
    if status is not None and status.mesh_ports:
        without = ServiceStatus()
        without.CopyFrom(status)
        del without.mesh_ports[:]
        draft.tell(without)


def plan_strays(draft: Draft, task_ids: Iterable[str]) -> None:
    """Delete statuses that a dispatcher wrote while their task was being deleted."""
    for identifier in task_ids:
        if identifier not in draft.view.tasks and identifier in draft.view.task_status:
            draft.bury(delete(kinds.TASK_STATUS, identifier))
