"""Dependencies: the conditions of `depends_on`, checked for each template until all have been met once.

Until then the service is planned as if its newest template had not been submitted: with the previous one, or without
tasks if it has never had any.
"""

from collections.abc import Callable, Iterator

from manager.planner.draft import Draft
from manager.planner.scheduler.node_filters import ineligible
from manager.planner.scheduler.shared_network import SharedNetwork
from manager.planner.spec.dependency_goals import GOALS
from manager.planner.spec.effective_spec import effective
from manager.planner.spec.problem_texts import WAITING_FOR
from manager.planner.spec.requirements import requirements_of
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.spec.service_modes import completions, is_job
from shoal.api.v1.service_pb2 import Dependency, JobRun, Service, ServiceStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import observed_state, should_run

_STARTED = frozenset({TaskState.RUNNING, TaskState.COMPLETE})


def apply_dependencies(draft: Draft, service: Service) -> Service:
    """The service with the template that its dependencies allow now. Its status names what is not met."""
    if not service.spec.depends_on:
        return service
    identifier = service.meta.id
    known = draft.view.service_status.get(identifier)
    released = known.unblocked_revision if known is not None else 0
    unmet = [] if released == service.task_revision else list(_unmet(draft, service))
    if released != service.task_revision and not unmet:
        draft.slot_index.of_service(identifier).mark_all_dirty()  # another template is effective from now on
    if not unmet:
        draft.add_status_detail(ServiceStatus(service_id=identifier, unblocked_revision=service.task_revision))
        return service
    draft.add_status_detail(ServiceStatus(service_id=identifier, unblocked_revision=released, problems=unmet))
    draft.blocked.add(identifier)  # whatever changes elsewhere may be what it waits for
    return _previous_template(draft, service, released)


def _unmet(draft: Draft, service: Service) -> Iterator[str]:
    for dependency in service.spec.depends_on:
        other = draft.view.service_named(dependency.service)
        if other is None:
            if not dependency.optional:
                yield f"{WAITING_FOR}{dependency.service}, which does not exist"
        elif not _is_met(draft, effective(draft.view, other), dependency.condition):
            yield f"{WAITING_FOR}{dependency.service} to {GOALS.get(dependency.condition, 'start')}"


def _is_met(draft: Draft, service: Service, condition: Dependency.Condition.ValueType) -> bool:
    """Whether as many slots as the service is to have meet the condition, with tasks of its effective template."""
    desired = DesiredTemplate(draft.view, service)
    if condition == Dependency.COMPLETED and is_job(service.spec):
        return _has_succeeded(draft, service, desired)
    test = _CONDITION_TESTS.get(condition, _has_started)
    slots = {
        task.slot or task.node_id
        for task in draft.view.tasks_of(service.meta.id).values()
        if not desired.differs(task) and test(task, draft.view.task_status.get(task.id))
    }
    return len(slots) >= _required_slots(draft, service)


def _has_succeeded(draft: Draft, service: Service, desired: DesiredTemplate) -> bool:
    """A run of the job's newest template has succeeded."""
    status = draft.view.service_status.get(service.meta.id)
    runs = status.runs if status is not None else ()
    return any(run.state == JobRun.SUCCEEDED and not desired.differs(Task(revision=run.revision)) for run in runs)


def _has_started(task: Task, status: TaskStatus | None) -> bool:
    state = observed_state(task, status)
    return state in _STARTED and (state == TaskState.COMPLETE or should_run(task))


def _is_healthy(task: Task, status: TaskStatus | None) -> bool:
    running = should_run(task) and observed_state(task, status) == TaskState.RUNNING
    return running and status is not None and status.health == TaskStatus.HEALTHY


def _has_completed(task: Task, status: TaskStatus | None) -> bool:
    return observed_state(task, status) == TaskState.COMPLETE


_CONDITION_TESTS: dict[Dependency.Condition.ValueType, Callable[[Task, TaskStatus | None], bool]] = {
    Dependency.HEALTHY: _is_healthy,
    Dependency.COMPLETED: _has_completed,
}


def _required_slots(draft: Draft, service: Service) -> int:
    """Slots that have to meet the condition."""
    spec = service.spec
    mode = spec.WhichOneof("mode")
    if mode == "replicated":
        return spec.replicated.replicas
    if mode == "replicated_job":
        total = completions(spec)
        return min(spec.replicated_job.max_concurrent or total, total)
    demand, shared = requirements_of(spec, draft.view.networks), SharedNetwork(draft, spec)
    fit = (host for host in draft.resources.hosts.values() if ineligible(host, demand) is None)
    return sum(1 for host in fit if shared.admits(host))


def _previous_template(draft: Draft, service: Service, released: int) -> Service:
    """A copy with the template that its tasks have had so far; without tasks when there was none."""
    tasks = draft.view.tasks_of(service.meta.id).values()
    number = released or max((task.revision for task in tasks if should_run(task)), default=0)
    earlier = draft.view.revision_of(service.meta.id, number)
    previous = Service()
    previous.CopyFrom(service)
    if earlier is None:
        previous.spec.replicated.replicas = 0
        return previous
    previous.spec.task.CopyFrom(earlier.spec.task)
    previous.spec.endpoint.CopyFrom(earlier.spec.endpoint)
    previous.revision = previous.task_revision = number
    return previous
