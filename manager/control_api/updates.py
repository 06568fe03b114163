"""Updates under way: paused, resumed and promoted by the user; and the revisions that a service has had."""

from manager.control_api import revisions
from manager.control_api.counting import fresh_revisions
from manager.control_api.lookup import find_service
from manager.control_api.seams import NowMs, Records
from manager.planner.effective import current_update, effective, rolled_back_to
from manager.planner.modes import is_job
from manager.planner.template import Wanted
from manager.store.changes import put
from manager.store.kinds import SERVICE
from manager.store.tables import View
from shoal.api.v1.control_pb2 import (
    ListRevisionsRequest,
    ListRevisionsResponse,
    RevisionView,
    SteerUpdateRequest,
    UpdateServiceResponse,
)
from shoal.api.v1.service_pb2 import Service, UpdateStatus, UpdateSteering
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput, Refused
from shoal.task_states import is_ready, is_wanted

Action = SteerUpdateRequest.Action
_WORDS = {Action.PAUSE: "paused", Action.RESUME: "resumed", Action.PROMOTE: "promoted"}
_ANSWERS = {
    UpdateStatus.STATE_UNSPECIFIED: "there is none under way; `shoal service update` begins one",
    UpdateStatus.COMPLETED: "it is completed",
    UpdateStatus.ROLLED_BACK: "it was rolled back; `shoal service update` begins another one",
}
_UNDER_WAY = frozenset({UpdateStatus.UPDATING, UpdateStatus.CANARY, UpdateStatus.ROLLING_BACK})


class Updates:
    """The calls about updates. The planner answers what is asked here in `ServiceStatus.update`."""

    def __init__(self, *, store: Records, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def steer(self, request: SteerUpdateRequest) -> UpdateServiceResponse:
        """Raises Refused when the update is not in a state that the action is for."""
        view = self._store.tables
        service = find_service(view, request.service)
        changed = Service()
        changed.CopyFrom(service)
        update = current_update(view, service)
        changed.steering.CopyFrom(steered(service, update, request.action, begins=_begins(view, service)))
        changed.meta.updated_at_ms = self._now_ms()
        version = await self._store.commit(
            [put(SERVICE, service.meta.id, changed)], expects=[revisions.unchanged_since(service)]
        )
        answer = Service()
        answer.CopyFrom(changed)
        answer.meta.version = version
        return UpdateServiceResponse(service=answer)

    async def revisions(self, request: ListRevisionsRequest) -> ListRevisionsResponse:
        """The newest first."""
        view = self._store.tables
        return ListRevisionsResponse(revisions=history(view, find_service(view, request.service)))


def steered(
    service: Service, update: UpdateStatus | None, action: Action.ValueType, *, begins: bool = False
) -> UpdateSteering:
    """What is asked of the update from now on. Pure.

    Args:
        begins: there are tasks to be replaced, of which the planner has not told yet.

    Raises:
        Refused: there is no update that this could be asked of. InvalidInput: no action is named.
    """
    name = service.spec.name
    steering = UpdateSteering(task_revision=service.task_revision)
    if service.steering.task_revision == service.task_revision:
        steering.CopyFrom(service.steering)
    state = update.state if update is not None else UpdateStatus.STATE_UNSPECIFIED
    if state == UpdateStatus.STATE_UNSPECIFIED and begins:
        state = UpdateStatus.UPDATING
    if action not in _WORDS:
        raise InvalidInput("action: say pause, resume or promote")
    if why := _refusal(service, state, steering, action):
        raise Refused(f'the update of service "{name}" cannot be {_WORDS[action]}: {why}')
    match action:
        case Action.PAUSE:
            steering.paused = True
        case Action.RESUME:
            steering.paused = False
            steering.resumed += 1
        case Action.PROMOTE:
            steering.promoted = True
    return steering


def _begins(view: View, service: Service) -> bool:
    wanted = Wanted(view, service)
    tasks = view.tasks_of(service.meta.id).values()
    return not is_job(service.spec) and any(is_wanted(task) and wanted.differs(task) for task in tasks)


def _refusal(
    service: Service, state: UpdateStatus.State.ValueType, steering: UpdateSteering, action: Action.ValueType
) -> str:
    """Why the update cannot be asked that, and what to do instead; empty when it can."""
    name = service.spec.name
    paused = state == UpdateStatus.PAUSED or (steering.paused and state in _UNDER_WAY)
    if state in _ANSWERS:
        return _ANSWERS[state]
    if action == Action.PAUSE:
        return f"it is paused already; `shoal service resume {name}` goes on with it" if paused else ""
    if action == Action.RESUME:
        if state == UpdateStatus.CANARY and not paused:
            return f"it is not paused, it waits for promotion: `shoal service promote {name}`"
        return "" if paused else "it is not paused, it is under way"
    if state == UpdateStatus.ROLLING_BACK:
        return "it is being rolled back"
    if not service.spec.update.canary or steering.rollback:
        return "it has no canaries"
    if steering.promoted:
        return "it is promoted already"
    return f"it is paused; `shoal service resume {name}` goes on with it" if paused else ""


def history(view: View, service: Service) -> list[RevisionView]:
    """The revisions that are kept, with how many tasks run each of them."""
    numbers = range(service.revision, 0, -1)
    identifier = service.meta.id
    kept = [found for number in numbers if (found := view.revision_of(identifier, number)) is not None]
    in_force = rolled_back_to(view, service) or service.revision
    fresh = fresh_revisions(effective(view, service))
    tasks = view.tasks_of(identifier).values()
    running = [task for task in tasks if is_wanted(task) and is_ready(task, view.task_status.get(task.id))]
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
    """A change that restarts nothing leaves tasks the number of a revision before."""
    return (in_force if task.revision in fresh else task.revision) == number
