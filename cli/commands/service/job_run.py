"""`shoal service run`: a job with a schedule, now."""

import time

import click

from cli.client import Client
from cli.commands.common.common_options import detach_option, examples, pass_client, wait_option
from cli.commands.common.name_completion import names_of
from cli.convergence import NOT_CONVERGED
from cli.render.error_lines import CommandFailed
from shoal.api.v1.control_pb2 import GetServiceRequest, RunJobRequest, RunJobResponse
from shoal.api.v1.service_pb2 import JobRun, ServiceStatus
from shoal.errors import Refused

_POLL_SECONDS = 0.5
_ENDS = {JobRun.SUCCEEDED: "succeeded", JobRun.FAILED: "failed", JobRun.REPLACED: "was replaced by another run"}


@click.command("run", epilog=examples("shoal service run report", "shoal service run --detach report"))
@detach_option
@wait_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def run(client: Client, *, service: str, detach: bool, timeout: float) -> None:
    """Run a scheduled job now, in addition to its due times. The schedule's overlap policy applies."""
    found = client.call(client.control.GetService, GetServiceRequest(service=service)).service
    requested = client.call(client.control.RunJob, RunJobRequest(service=found.meta.id))
    click.echo(found.spec.name)
    if not detach:
        _follow(client, found.meta.id, found.spec.name, requested, time.monotonic() + timeout)


def _follow(client: Client, identifier: str, name: str, requested: RunJobResponse, deadline: float) -> None:
    """Until the run has ended.

    Raises:
        CommandFailed: it has not succeeded; with exit code 3 when it has not ended in time.
    """
    shown = 0
    while time.monotonic() < deadline:
        status = client.call(client.control.GetService, GetServiceRequest(service=identifier)).status
        found = started(status, requested)
        if found is not None and found.number != shown:
            shown = found.number
            click.echo(f"{name}: run {shown} started")
        if found is not None and found.state in _ENDS:
            line = f"{name}: run {found.number} {_ENDS[found.state]}"
            if found.state != JobRun.SUCCEEDED:
                raise CommandFailed("; ".join((line, *status.problems)))
            return click.echo(line)
        time.sleep(_POLL_SECONDS)
    raise CommandFailed(f"{name}: the run has not ended in time; it continues in the background", NOT_CONVERGED)


def started(status: ServiceStatus, requested: RunJobResponse) -> JobRun | None:
    """The requested run; None: it has not started yet.

    Raises:
        Refused: the planner has skipped it.
    """
    if status.handled_run_requests < requested.run_requests:
        return None
    later = [each for each in status.runs if each.number > requested.previous_run and not each.scheduled_at_ms]
    if not later:
        raise Refused(status.schedule.message or "the requested run is no longer in the job's history")
    return later[0]
