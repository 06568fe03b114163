"""Progress of jobs. Pure."""

from manager.planner.spec.service_modes import completions, is_global
from manager.services.task_counts import TaskCounter, count_tasks, problems_of
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ServiceProgress, ServiceView
from shoal.api.v1.service_pb2 import JobRun, Service, ServiceStatus


def job_view(view: View, service: Service) -> ServiceView:
    """A job as listed and inspected: its newest run."""
    run = _newest_run(view.service_status.get(service.meta.id))
    return ServiceView(
        service=service,
        status=view.service_status.get(service.meta.id),
        desired=_desired(service, run),
        running=count_tasks(view, service.meta.id, range(0)).running_any,
        completed=run.completed if run is not None else 0,
    )


def job_progress(view: View, service: Service, counter: TaskCounter = count_tasks) -> ServiceProgress:
    """A job has converged when each of its slots is complete; one with a schedule, when the planner has adopted it.

    It has stalled when its run has failed.
    """
    status = view.service_status.get(service.meta.id)
    run = _newest_run(status)
    is_this = run is not None and _matches(run, service)
    counted = counter(view, service.meta.id, range(service.task_revision, service.revision + 1))
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
        stalled=is_this and run is not None and run.state == JobRun.FAILED and not converged,
        completed=run.completed if run is not None and (is_this or service.spec.HasField("schedule")) else 0,
        is_job=True,
    )


def _matches(run: JobRun, service: Service) -> bool:
    """The run is of the newest template, and the planner has acted on the number of completions."""
    return run.revision >= service.task_revision and (
        is_global(service.spec) or run.desired == completions(service.spec)
    )


def _desired(service: Service, run: JobRun | None) -> int:
    if is_global(service.spec):
        return run.desired if run is not None else 0
    return completions(service.spec)


def _newest_run(status: ServiceStatus | None) -> JobRun | None:
    return status.runs[-1] if status is not None and status.runs else None
