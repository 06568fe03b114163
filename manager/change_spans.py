"""Spans of a manager's part in carrying out a change that is traced: plan, dispatch, and what its nodes report.

The change's records have the span that made it (`ChangeOrigin`). Where no spans are exported nothing is looked at.
"""

from collections.abc import Iterable, Mapping

from manager.store.changes import Write
from manager.store.tables import View
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.telemetry.request_context import request_from
from shoal.telemetry.tracing import is_tracing, now_ns, record_span

MAX_SPANS = 100
"""Of one pass, one message or one transaction."""


def record_plan(view: View, writes: Iterable[Write], start_ns: int) -> None:
    """One for each change that tasks were planned for."""
    if not is_tracing():
        return
    tasks = (write.value for write in writes if isinstance(write.value, Task))
    revisions = (view.revision_of(task.service_id, task.revision) for task in tasks)
    for traceparent in _traceparents(each for each in revisions if each is not None):
        record_span("plan", traceparent, start_ns=start_ns)


def record_dispatch(revisions: Iterable[ServiceRevision], node_id: str) -> None:
    """One for each change whose revision a node is sent."""
    if is_tracing():
        for traceparent in _traceparents(revisions):
            record_span("dispatch", traceparent, start_ns=now_ns(), attributes={"shoal.node_id": node_id})


def record_running(view: View, statuses: Mapping[str, TaskStatus], start_ns: int) -> None:
    """One for each task that runs now."""
    if not is_tracing():
        return
    running = [task_id for task_id, status in statuses.items() if status.state == TaskState.RUNNING]
    for task_id in running[:MAX_SPANS]:
        task = view.tasks.get(task_id)
        revision = view.revision_of(task.service_id, task.revision) if task is not None else None
        for traceparent in _traceparents([revision] if revision is not None else []):
            record_span("status running", traceparent, start_ns=start_ns, attributes={"shoal.task_id": task_id})


def _traceparents(revisions: Iterable[ServiceRevision]) -> list[str]:
    """Each once."""
    found = (request_from(each.origin.request_id, each.origin.traceparent) for each in revisions)
    return list(dict.fromkeys(each.traceparent for each in found if each is not None and each.traceparent))[:MAX_SPANS]
