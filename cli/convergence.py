"""Wait until services have converged, as every command that changes a service does without `--detach`."""

import time
from collections.abc import Iterator, Mapping, Sequence

import click

from cli.client import Client
from cli.render.error_lines import CommandFailed, warn
from cli.render.progress_display import ProgressDisplay, counts, distinct_problems
from shoal.api.v1.control_pb2 import ServiceProgress, ServicesProgress, WatchServicesRequest
from shoal.api.v1.service_pb2 import UpdateStatus
from shoal.errors import Timeout, Unauthenticated, Unavailable

NOT_CONVERGED = 3
RETRY_SECONDS = 0.5
"""Between attempts to reach a manager that is unavailable."""

_FAILED_STATES = {UpdateStatus.PAUSED: "paused", UpdateStatus.ROLLED_BACK: "rolled back"}


def wait(
    client: Client,
    services: Sequence[str],
    *,
    seconds: float,
    until_removed: bool = False,
    names: Mapping[str, str] | None = None,
    quiet: bool = False,
    verify: float = 0.0,
) -> None:
    """Show progress until the services have converged (or are gone).

    Ctrl-C detaches: the operation continues in the background, and the command exits with 130.

    Args:
        services: ids.
        seconds: how long to wait at most.
        names: by id, of services that the cluster no longer knows by name.
        quiet: show no progress, only what went wrong.
        verify: seconds for which the tasks of a new template are watched once all of them run.
    Raises:
        Failed: with exit code 3 and the reasons, when they have not converged in time; with 1 when an update was paused
            or rolled back meanwhile, or a task has ended soon after its start.
    """
    display = ProgressDisplay(removing=until_removed)
    first: tuple[ServiceProgress, ...] = ()
    last: tuple[ServiceProgress, ...] = ()
    request = WatchServicesRequest(services=services, until_removed=until_removed, verify_ms=round(verify * 1000))
    try:
        for progress in _progress(client, request, seconds):
            last = tuple(_with_name(service, names or {}) for service in progress.services)
            first = first or last
            if not quiet:
                display.update(last)
            if progress.done:
                break
    except Timeout:
        raise CommandFailed(_timeout_message(last, seconds), NOT_CONVERGED) from None
    except KeyboardInterrupt:
        listed = [service.name for service in last]
        hint = f": {' '.join(listed)}; check with `shoal service ps {listed[0]}`" if listed else ""
        warn(f"detached; the operation continues in the background{hint}")
        raise click.exceptions.Abort from None
    finally:
        display.close()
    _report_outcome(first, last)


def _progress(client: Client, request: WatchServicesRequest, seconds: float) -> Iterator[ServicesProgress]:
    """The progress as it comes, also across a manager's restart: the request is stored, so it is enough to reconnect.

    Raises:
        Timeout: `seconds` have passed.
    """
    deadline, warned = time.monotonic() + seconds, False
    while (left := deadline - time.monotonic()) > 0:
        try:
            yield from client.stream(client.control.WatchServices, request, seconds=left)
            return
        except (Unavailable, Unauthenticated) as error:
            # Without a first response the context is wrong; the call before this one would have failed.
            if not warned:
                warn(f"{error}; the operation continues; retrying until a manager responds")
            warned = True
            time.sleep(RETRY_SECONDS)
    raise Timeout("timed out waiting for the manager")


def _report_outcome(first: Sequence[ServiceProgress], last: Sequence[ServiceProgress]) -> None:
    """Print how updates ended that were in progress meanwhile."""
    failed = []
    for before, after in zip(first, last, strict=True):
        state, message = after.update.state, after.update.message
        if state == UpdateStatus.CANARY:
            warn(f"{after.name}: canaries are running; promote them with `shoal service promote {after.name}`")
        elif state in _FAILED_STATES and _is_unchanged(before.update, after.update):
            warn(f"{after.name}: an earlier update is {_FAILED_STATES[state]}: {message}")
        elif state in _FAILED_STATES:
            failed.append(f"{after.name}: the update was {_FAILED_STATES[state]}: {message}")
        elif after.is_job and after.stalled:
            failed.append(f"{after.name}: {counts(after)}: {'; '.join(distinct_problems(after.problems)) or 'failed'}")
        elif after.stalled and not after.converged and state not in _FAILED_STATES and after.problems:
            failed.append(f"{after.name}: {after.problems[0]}")
    if failed:
        raise CommandFailed("\n       ".join(failed))


def _is_unchanged(before: UpdateStatus, after: UpdateStatus) -> bool:
    return (before.state, before.started_at_ms, before.resume_count) == (
        after.state,
        after.started_at_ms,
        after.resume_count,
    )


def _with_name(service: ServiceProgress, names: Mapping[str, str]) -> ServiceProgress:
    service.name = names.get(service.service_id, service.name)
    return service


def _timeout_message(services: Sequence[ServiceProgress], seconds: float) -> str:
    waiting = [service for service in services if not service.converged]
    lines = [f"not converged within {seconds:.0f} s; the operation continues in the background"]
    for service in waiting:
        reason = (
            f": {service.problems[0]}" if service.problems else ", not yet verified" * bool(service.verify_remaining_ms)
        )
        lines.append(f"{service.name}: {counts(service)}{reason}")
    return "\n       ".join(lines)
