"""Updates under way: paused, resumed and promoted by the user; and the revisions that a service has had."""

from manager.control_api import revisions
from manager.control_api.lookup import find_service
from manager.control_api.seams import NowMs, Records
from manager.planner.effective import current_update, effective
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
from shoal.errors import InvalidInput, Refused
from shoal.task_states import is_ready, is_wanted

Action = SteerUpdateRequest.Action
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
        changed.steering.CopyFrom(steered(service, current_update(view, service), request.action))
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


def steered(service: Service, update: UpdateStatus | None, action: Action.ValueType) -> UpdateSteering:
    """What is asked of the update from now on. Pure.

    Raises:
        Refused: there is no update that this could be asked of. InvalidInput: no action is named.
    """
    name = service.spec.name
    steering = UpdateSteering(task_revision=service.task_revision)
    if service.steering.task_revision == service.task_revision:
        steering.CopyFrom(service.steering)
    state = update.state if update is not None else UpdateStatus.STATE_UNSPECIFIED
    match action:
        case Action.PAUSE:
            if state not in _UNDER_WAY:
                raise Refused(f'service "{name}" has no update under way that could be paused')
            steering.paused = True
        case Action.RESUME:
            if state != UpdateStatus.PAUSED and not steering.paused:
                raise Refused(f'service "{name}" has no paused update; `shoal service update` begins one')
            steering.paused = False
            steering.resumed += 1
        case Action.PROMOTE:
            if state not in (UpdateStatus.CANARY, UpdateStatus.UPDATING) or not service.spec.update.canary:
                raise Refused(f'service "{name}" has no canaries that could be promoted')
            steering.promoted = True
        case _:
            raise InvalidInput("action: say pause, resume or promote")
    return steering


def history(view: View, service: Service) -> list[RevisionView]:
    """The revisions that are kept, with how many tasks run what each of them says."""
    numbers = range(service.revision, 0, -1)
    identifier = service.meta.id
    kept = [found for number in numbers if (found := view.revision_of(identifier, number)) is not None]
    in_force = Wanted(view, effective(view, service)).revision
    tasks = view.tasks_of(identifier).values()
    running = [task for task in tasks if is_wanted(task) and is_ready(task, view.task_status.get(task.id))]
    return [
        RevisionView(
            revision=revision,
            current=revision.number == service.revision,
            effective=revision.number == in_force,
            running=sum(task.revision == revision.number for task in running),
        )
        for revision in kept
    ]
