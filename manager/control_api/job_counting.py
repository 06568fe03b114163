"""How far jobs are. Pure."""

from manager.control_api.counting import Counting, count, problems_of
from manager.planner.modes import completions, is_on_each_node
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ServiceProgress, ServiceView
from shoal.api.v1.service_pb2 import JobRun, Service, ServiceStatus


def job_view(view: View, service: Service) -> ServiceView:
    """What lists and `inspect` show: the newest run."""
    run = _newest_run(view.service_status.get(service.meta.id))
    return ServiceView(
        service=service,
        status=view.service_status.get(service.meta.id),
        desired=_desired(service, run),
        running=count(view, service.meta.id, range(0)).running_any,
        completed=run.completed if run is not None else 0,
    )


def job_progress(view: View, service: Service, counting: Counting = count) -> ServiceProgress:
    """A job has converged when each of its slots is done; one with a schedule, when the planner keeps that schedule.

    It is halted when a slot was given up.
    """
    status = view.service_status.get(service.meta.id)
    run = _newest_run(status)
    is_this = run is not None and _is_of(run, service)
    counted = counting(view, service.meta.id, range(service.task_revision, service.revision + 1))
    if service.spec.HasField("schedule"):
        converged = status is not None and status.schedule.cron == service.spec.schedule.cron
    else:
        converged = is_this and run is not None and run.state == JobRun.SUCCEEDED and not counted.stopping
    return ServiceProgress(
        service_id=service.meta.id,
        name=service.spec.name,
        desired=_desired(service, run),
        running=counted.running_any,
        stopping=counted.stopping,
        by_state=dict(counted.by_state),
        problems=[] if converged else list(problems_of(view, service, counted)),
        converged=converged,
        halted=is_this and run is not None and run.state == JobRun.FAILED and not converged,
        completed=run.completed if run is not None and (is_this or service.spec.HasField("schedule")) else 0,
        is_job=True,
    )


def _is_of(run: JobRun, service: Service) -> bool:
    """The run is of the newest template, and the planner has acted on the number of completions."""
    return run.revision >= service.task_revision and (
        is_on_each_node(service.spec) or run.wanted == completions(service.spec)
    )


def _desired(service: Service, run: JobRun | None) -> int:
    if is_on_each_node(service.spec):
        return run.wanted if run is not None else 0
    return completions(service.spec)


def _newest_run(status: ServiceStatus | None) -> JobRun | None:
    return status.runs[-1] if status is not None and status.runs else None
