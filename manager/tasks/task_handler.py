"""Task calls: list by service, node and stack."""

from collections.abc import Iterable

from manager.interfaces import NowMs
from manager.nodes.drain_status import drain_wait_reason
from manager.records.object_lookup import find_node, find_service, hostname_of, is_in_stack
from manager.services.restart_times import RestartTimes
from manager.store.record_store import RecordReader
from manager.store.tables import View
from shoal import image_reference
from shoal.api.v1.control_pb2 import ListTasksRequest, ListTasksResponse, TaskView
from shoal.api.v1.task_pb2 import Task
from shoal.rpc.caller import Caller
from shoal.task_states import is_terminal, observed_state


class TaskHandler:
    """The tasks' calls."""

    def __init__(self, *, store: RecordReader, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def list(self, request: ListTasksRequest, caller: Caller) -> ListTasksResponse:
        """Ordered by service and slot, the newest first within a slot."""
        view = self._store.tables
        times = RestartTimes(view, self._now_ms())
        views = [task_view(view, task, times) for task in _selected(view, request)]
        views.sort(key=lambda each: (each.service_name, each.task.slot, each.node_hostname, -each.task.created_at_ms))
        return ListTasksResponse(tasks=views)


def task_view(view: View, task: Task, times: RestartTimes) -> TaskView:
    """A task with the facts about its service and node that listings show."""
    service = view.services.get(task.service_id)
    revision = view.revision_of(task.service_id, task.revision)
    spec = revision.spec if revision is not None else service.spec if service is not None else None
    return TaskView(
        task=task,
        status=view.task_status.get(task.id),
        service_name=spec.name if spec is not None else task.service_id,
        node_hostname=hostname_of(view, task.node_id) if task.node_id else "",
        image=image_reference.familiar_text(spec.task.container.image) if spec is not None else "",
        restart_at_ms=times.due_at(task),
        drain_wait=drain_wait_reason(view, task),
    )


def _selected(view: View, request: ListTasksRequest) -> Iterable[Task]:
    node_id = find_node(view, request.node).meta.id if request.node else ""
    if request.service:
        candidates = view.tasks_of(find_service(view, request.service).meta.id)
    else:
        candidates = view.tasks_on(node_id) if node_id else view.tasks
    for task in candidates.values():
        if node_id and task.node_id != node_id:
            continue
        if request.stack and not is_in_stack(view, task, request.stack):
            continue
        if request.include_ended or not is_terminal(observed_state(task, view.task_status.get(task.id))):
            yield task
