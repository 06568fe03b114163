"""Update calls: pause, resume and promote; revisions of a service."""

from manager.interfaces import NowMs
from manager.planner.spec.effective_spec import current_update, effective, rolled_back_to
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.spec.service_modes import is_job
from manager.records.object_lookup import find_service
from manager.services import service_revisions
from manager.services.task_counts import current_revisions
from manager.store.changes import put
from manager.store.kinds import SERVICE
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.control_pb2 import (
    ListRevisionsRequest,
    ListRevisionsResponse,
    ManageUpdateRequest,
    RevisionView,
    UpdateServiceResponse,
)
from shoal.api.v1.service_pb2 import Service, UpdateControl, UpdateStatus
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput, Refused
from shoal.rpc.caller import Caller
from shoal.task_states import is_ready, should_run

Action = ManageUpdateRequest.Action
_PAST_TENSE = {Action.PAUSE: "paused", Action.RESUME: "resumed", Action.PROMOTE: "promoted"}
_NO_UPDATE = {
    UpdateStatus.STATE_UNSPECIFIED: "no update is in progress; to start one, use `shoal service update`",
    UpdateStatus.COMPLETED: "it has completed",
    UpdateStatus.ROLLED_BACK: "it has been rolled back; to start another one, use `shoal service update`",
}
_IN_PROGRESS = frozenset({UpdateStatus.UPDATING, UpdateStatus.CANARY, UpdateStatus.ROLLING_BACK})


class UpdateHandler:
    """The calls about updates. The planner acts on them, and reports in `ServiceStatus.update`."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def manage(self, request: ManageUpdateRequest, caller: Caller) -> UpdateServiceResponse:
        """Raises Refused when the action does not apply to the state of the update."""
        view = self._store.tables
        service = find_service(view, request.service)
        changed = Service()
        changed.CopyFrom(service)
        update = current_update(view, service)
        changed.update_control.CopyFrom(
            apply_action(service, update, request.action, pending=_is_pending(view, service))
        )
        changed.meta.updated_at_ms = self._now_ms()
        version = await self._store.commit(
            [put(SERVICE, service.meta.id, changed)], expects=[service_revisions.unchanged_since(service)]
        )
        answer = Service()
        answer.CopyFrom(changed)
        answer.meta.version = version
        return UpdateServiceResponse(service=answer)

    async def revisions(self, request: ListRevisionsRequest, caller: Caller) -> ListRevisionsResponse:
        """The newest first."""
        view = self._store.tables
        return ListRevisionsResponse(revisions=history(view, find_service(view, request.service)))


def apply_action(
    service: Service, update: UpdateStatus | None, action: Action.ValueType, *, pending: bool = False
) -> UpdateControl:
    """The requested state of the update. Pure.

    Args:
        pending: tasks have to be replaced, but the planner has not recorded the update yet.

    Raises:
        Refused: the action does not apply to the update. InvalidInput: there is no action.
    """
    name = service.spec.name
    control = UpdateControl(task_revision=service.task_revision)
    if service.update_control.task_revision == service.task_revision:
        control.CopyFrom(service.update_control)
    state = update.state if update is not None else UpdateStatus.STATE_UNSPECIFIED
    if state == UpdateStatus.STATE_UNSPECIFIED and pending:
        state = UpdateStatus.UPDATING
    if action not in _PAST_TENSE:
        raise InvalidInput("action: must be one of pause, resume, promote")
    if why := _refusal(service, state, control, action):
        raise Refused(f'the update of service "{name}" cannot be {_PAST_TENSE[action]}: {why}')
    match action:
        case Action.PAUSE:
            control.paused = True
        case Action.RESUME:
            control.paused = False
            control.resume_count += 1
        case Action.PROMOTE:
            control.promoted = True
    return control


def _is_pending(view: View, service: Service) -> bool:
    desired = DesiredTemplate(view, service)
    tasks = view.tasks_of(service.meta.id).values()
    return not is_job(service.spec) and any(should_run(task) and desired.differs(task) for task in tasks)


def _refusal(
    service: Service, state: UpdateStatus.State.ValueType, control: UpdateControl, action: Action.ValueType
) -> str:
    """Why the action is refused, and what to do instead; empty when it is not."""
    name = service.spec.name
    paused = state == UpdateStatus.PAUSED or (control.paused and state in _IN_PROGRESS)
    if state in _NO_UPDATE:
        return _NO_UPDATE[state]
    if action == Action.PAUSE:
        return f"it is already paused; to continue, use `shoal service resume {name}`" if paused else ""
    if action == Action.RESUME:
        if state == UpdateStatus.CANARY and not paused:
            return (
                "it is not paused but waiting for promotion; to "
                f"promote its canaries, use `shoal service promote {name}`"
            )
        return "" if paused else "it is not paused"
    if state == UpdateStatus.ROLLING_BACK:
        return "it is being rolled back"
    if not service.spec.update.canary or control.rollback:
        return "it has no canaries"
    if control.promoted:
        return "it has already been promoted"
    return f"it is paused; resume it first with `shoal service resume {name}`" if paused else ""


def history(view: View, service: Service) -> list[RevisionView]:
    """The revisions that are kept, with how many tasks run each of them."""
    numbers = range(service.revision, 0, -1)
    identifier = service.meta.id
    kept = [found for number in numbers if (found := view.revision_of(identifier, number)) is not None]
    in_force = rolled_back_to(view, service) or service.revision
    fresh = current_revisions(effective(view, service))
    tasks = view.tasks_of(identifier).values()
    running = [task for task in tasks if should_run(task) and is_ready(task, view.task_status.get(task.id))]
    return [
        RevisionView(
            revision=revision,
            current=revision.number == service.revision,
            effective=revision.number == in_force,
            running=sum(_runs(task, revision.number, in_force, fresh) for task in running),
        )
        for revision in kept
    ]


def _runs(task: Task, number: int, in_force: int, fresh: range) -> bool:
    """After a change that restarts nothing, tasks keep the number of the revision before."""
    return (in_force if task.revision in fresh else task.revision) == number
