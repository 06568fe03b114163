"""Service revisions: what creates one, what changes the task template, which ones are kept. Pure."""

from google.protobuf.message import Message

from manager.planner.spec.running_template import running_part, strip_empty
from manager.records.change_origin import change_origin
from manager.store.changes import Expect, Write, delete, expect, put
from manager.store.kinds import REVISION, SERVICE
from manager.store.tables import View
from manager.validation import bounds
from shoal.api.v1.service_pb2 import Service, ServiceRevision, ServiceSpec

MAX_SCANNED = 10_000
"""Revisions examined for pruning."""


def new_service(identifier: str, spec: ServiceSpec, now_ms: int) -> Service:
    """A new service."""
    service = Service(spec=spec, revision=1, task_revision=1)
    service.meta.id = identifier
    service.meta.created_at_ms = service.meta.updated_at_ms = now_ms
    return service


def with_spec(
    service: Service, spec: ServiceSpec, now_ms: int, *, base: ServiceSpec | None = None, rollback: bool = False
) -> Service | None:
    """The service with another spec; None when nothing differs from the spec in force.

    Args:
        base: the spec in force (`effective_spec.spec_in_force`); the service's own unless given. Tasks that
            run it after a rollback are not restarted, though its template becomes the newest again.
        rollback: the user requested a rollback.
    """
    base = service.spec if base is None else base
    if _stripped(spec) == _stripped(base):
        return None
    changed = Service()
    changed.CopyFrom(service)
    changed.spec.CopyFrom(spec)
    changed.revision += 1
    changed.meta.updated_at_ms = now_ms
    if not running_part(service.spec) == running_part(base) == running_part(spec):
        changed.task_revision = changed.revision
        changed.ClearField("update_control")
        if rollback:
            changed.update_control.task_revision, changed.update_control.rollback = changed.revision, True
    return changed


def record_writes(service: Service) -> list[Write]:
    """The service and its newest revision."""
    revision = ServiceRevision(
        service_id=service.meta.id,
        number=service.revision,
        spec=service.spec,
        created_at_ms=service.meta.updated_at_ms,
        origin=change_origin(),
    )
    return [
        put(SERVICE, service.meta.id, service),
        put(REVISION, f"{service.meta.id}/{service.revision}", revision),
    ]


def pruning_writes(view: View, service: Service) -> list[Write]:
    """Deletions of revisions that are no longer needed.

    Kept are the newest ten; the newest of each of the last ten task templates, so that scaling does not push them out;
    and those that a task or an update refers to. Only the newest ten thousand are examined: older ones are removed with
    their service.
    """
    newest = service.revision
    every = [each for each in range(newest, max(0, newest - MAX_SCANNED), -1) if _key(service, each) in view.revisions]
    kept = _referenced(view, service) | {number for number in every if number > newest - bounds.REVISIONS_KEPT}
    ran: set[tuple[bytes, ...]] = {running_part(service.spec)}
    for number in every:
        if len(ran) == bounds.REVISIONS_KEPT:
            break
        runs = running_part(view.revisions[_key(service, number)].spec)
        if runs not in ran:
            ran.add(runs)
            kept.add(number)
    return [delete(REVISION, _key(service, number)) for number in reversed(every) if number not in kept]


def _referenced(view: View, service: Service) -> set[int]:
    """Revisions that tasks, an update or a run of a job refer to."""
    named = {task.revision for task in view.tasks_of(service.meta.id).values()} | {service.task_revision}
    status = view.service_status.get(service.meta.id)
    if status is not None:
        named |= {status.update.task_revision, status.update.previous_revision, status.update.effective_revision}
        named |= {run.revision for run in status.runs}
    return named


def _key(service: Service, number: int) -> str:
    return f"{service.meta.id}/{number}"


def unchanged_since(service: Service) -> Expect:
    """The condition that the service has not changed since it was read."""
    return expect(SERVICE, service.meta.id, service.meta.version)


def _stripped(message: Message) -> Message:
    """A copy without empty submessages: they mean the same as absent ones."""
    copy = type(message)()
    copy.CopyFrom(message)
    strip_empty(copy)
    return copy
