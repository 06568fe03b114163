"""What a service waits for: the conditions of `depends_on`, asked for each template until they have held once.

Until then the service is planned as if its newest template had not been submitted: with the one before, or, when it has
never had tasks, with none.
"""

from collections.abc import Callable, Iterator

from manager.planner.demand import demand_of
from manager.planner.draft import Draft
from manager.planner.effective import effective
from manager.planner.filters import standing
from manager.planner.modes import completions, is_job
from manager.planner.shared_network import SharedNetwork
from manager.planner.template import Wanted
from shoal.api.v1.service_pb2 import Dependency, JobRun, Service, ServiceStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import is_wanted, observed

_BEGUN = frozenset({TaskState.RUNNING, TaskState.COMPLETE})

GOALS = {
    Dependency.CONDITION_UNSPECIFIED: "start",
    Dependency.STARTED: "start",
    Dependency.HEALTHY: "be healthy",
    Dependency.COMPLETED: "complete",
}
"""What a dependency is to do, by the condition."""


def hold_back(draft: Draft, service: Service) -> Service:
    """The service as it may be planned now. Tells in its status for what it waits, and what it was released for."""
    if not service.spec.depends_on:
        return service
    identifier = service.meta.id
    known = draft.view.service_status.get(identifier)
    released = known.released_revision if known is not None else 0
    waits = [] if released == service.task_revision else list(_waits(draft, service))
    if released != service.task_revision and not waits:
        draft.rolls.roll(identifier).wake_all()  # another template is in force from now on
    if not waits:
        draft.amend(ServiceStatus(service_id=identifier, released_revision=service.task_revision))
        return service
    draft.amend(ServiceStatus(service_id=identifier, released_revision=released, problems=waits))
    draft.unplaced.add(identifier)  # whatever changes elsewhere may be what it waits for
    return _before(draft, service, released)


def _waits(draft: Draft, service: Service) -> Iterator[str]:
    for dependency in service.spec.depends_on:
        other = draft.view.service_named(dependency.service)
        if other is None:
            if not dependency.optional:
                yield f"waits for {dependency.service}, which does not exist"
        elif not _holds(draft, effective(draft.view, other), dependency.condition):
            yield f"waits for {dependency.service} to {GOALS.get(dependency.condition, 'start')}"


def _holds(draft: Draft, service: Service, condition: Dependency.Condition.ValueType) -> bool:
    """As many slots as the service is to have meet the condition, with tasks of its newest template."""
    wanted = Wanted(draft.view, service)
    if condition == Dependency.COMPLETED and is_job(service.spec):
        return _has_succeeded(draft, service, wanted)
    meets = _TESTS.get(condition, _has_begun)
    slots = {
        task.slot or task.node_id
        for task in draft.view.tasks_of(service.meta.id).values()
        if not wanted.differs(task) and meets(task, draft.view.task_status.get(task.id))
    }
    return len(slots) >= _size(draft, service)


def _has_succeeded(draft: Draft, service: Service, wanted: Wanted) -> bool:
    """A run of the job's newest template has ended well."""
    status = draft.view.service_status.get(service.meta.id)
    runs = status.runs if status is not None else ()
    return any(run.state == JobRun.SUCCEEDED and not wanted.differs(Task(revision=run.revision)) for run in runs)


def _has_begun(task: Task, status: TaskStatus | None) -> bool:
    state = observed(task, status)
    return state in _BEGUN and (state == TaskState.COMPLETE or is_wanted(task))


def _is_healthy(task: Task, status: TaskStatus | None) -> bool:
    running = is_wanted(task) and observed(task, status) == TaskState.RUNNING
    return running and status is not None and status.health == TaskStatus.HEALTHY


def _has_completed(task: Task, status: TaskStatus | None) -> bool:
    return observed(task, status) == TaskState.COMPLETE


_TESTS: dict[Dependency.Condition.ValueType, Callable[[Task, TaskStatus | None], bool]] = {
    Dependency.HEALTHY: _is_healthy,
    Dependency.COMPLETED: _has_completed,
}


def _size(draft: Draft, service: Service) -> int:
    """Slots that have to meet the condition."""
    spec = service.spec
    mode = spec.WhichOneof("mode")
    if mode == "replicated":
        return spec.replicated.replicas
    if mode == "replicated_job":
        total = completions(spec)
        return min(spec.replicated_job.max_concurrent or total, total)
    demand, shared = demand_of(spec, draft.view.networks), SharedNetwork(draft, spec)
    fit = (host for host in draft.ledger.hosts.values() if standing(host, demand) is None)
    return sum(1 for host in fit if shared.admits(host))


def _before(draft: Draft, service: Service, released: int) -> Service:
    """A copy with the template that its tasks have had so far; with no tasks at all when there was none."""
    tasks = draft.view.tasks_of(service.meta.id).values()
    number = released or max((task.revision for task in tasks if is_wanted(task)), default=0)
    earlier = draft.view.revision_of(service.meta.id, number)
    held = Service()
    held.CopyFrom(service)
    if earlier is None:
        held.spec.replicated.replicas = 0
        return held
    held.spec.task.CopyFrom(earlier.spec.task)
    held.spec.endpoint.CopyFrom(earlier.spec.endpoint)
    held.revision = held.task_revision = number
    return held
