"""Waiting until services have converged: what every command that changes a service does unless it is detached."""

import time
from collections.abc import Iterator, Mapping, Sequence

import click

from cli.client import Client
from cli.render.failure import Failed, warn
from cli.render.progress import Display, counts, told
from shoal.api.v1.control_pb2 import ServiceProgress, ServicesProgress, WatchServicesRequest
from shoal.api.v1.service_pb2 import UpdateStatus
from shoal.errors import Timeout, Unauthenticated, Unavailable

NOT_CONVERGED = 3
LOOK_AGAIN_SECONDS = 0.5
"""Between looks for a manager that is away."""

_FAILED = {UpdateStatus.PAUSED: "paused", UpdateStatus.ROLLED_BACK: "rolled back"}


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

    Ctrl-C detaches: the cluster goes on, the command says so and ends with 130.

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
    display = Display(removing=until_removed)
    first: tuple[ServiceProgress, ...] = ()
    last: tuple[ServiceProgress, ...] = ()
    request = WatchServicesRequest(services=services, until_removed=until_removed, verify_ms=round(verify * 1000))
    try:
        for progress in _answers(client, request, seconds):
            last = tuple(_named(service, names or {}) for service in progress.services)
            first = first or last
            if not quiet:
                display.update(last)
            if progress.done:
                break
    except Timeout:
        raise Failed(_unfinished(last, seconds), NOT_CONVERGED) from None
    except KeyboardInterrupt:
        listed = [service.name for service in last]
        hint = f" with {' '.join(listed)}; see `shoal service ps {listed[0]}`" if listed else ""
        warn(f"detached: the cluster goes on{hint}")
        raise click.exceptions.Abort from None
    finally:
        display.close()
    _judge(first, last)


def _answers(client: Client, request: WatchServicesRequest, seconds: float) -> Iterator[ServicesProgress]:
    """The progress as it comes, also across a manager's restart: what was asked for is stored, so looking on is all.

    Raises:
        Timeout: `seconds` have passed.
    """
    deadline, told = time.monotonic() + seconds, False
    while (left := deadline - time.monotonic()) > 0:
        try:
            yield from client.stream(client.control.WatchServices, request, seconds=left)
            return
        except (Unavailable, Unauthenticated) as error:
            # Without a first answer it is the context that is wrong, and the command before this would have told.
            if not told:
                warn(f"{error}; the cluster goes on, and this looks again until the manager answers")
            told = True
            time.sleep(LOOK_AGAIN_SECONDS)
    raise Timeout("no answer in the time given")


def _judge(first: Sequence[ServiceProgress], last: Sequence[ServiceProgress]) -> None:
    """Tell how updates ended that went on while we looked."""
    failed = []
    for before, after in zip(first, last, strict=True):
        state, message = after.update.state, after.update.message
        if state == UpdateStatus.CANARY:
            warn(f"{after.name}: the canaries run; `shoal service promote {after.name}` replaces the rest")
        elif state in _FAILED and _was_so(before.update, after.update):
            warn(f"{after.name}: the update is {_FAILED[state]} since before: {message}")
        elif state in _FAILED:
            failed.append(f"{after.name}: the update was {_FAILED[state]}: {message}")
        elif after.is_job and after.halted:
            failed.append(f"{after.name}: {counts(after)}: {'; '.join(told(after.problems)) or 'it failed'}")
        elif after.halted and not after.converged and state not in _FAILED and after.problems:
            failed.append(f"{after.name}: {after.problems[0]}")
    if failed:
        raise Failed("\n       ".join(failed))


def _was_so(before: UpdateStatus, after: UpdateStatus) -> bool:
    return (before.state, before.started_at_ms, before.resumed) == (after.state, after.started_at_ms, after.resumed)


def _named(service: ServiceProgress, names: Mapping[str, str]) -> ServiceProgress:
    service.name = names.get(service.service_id, service.name)
    return service


def _unfinished(services: Sequence[ServiceProgress], seconds: float) -> str:
    waiting = [service for service in services if not service.converged]
    lines = [f"not converged within {seconds:.0f} s; the cluster goes on"]
    for service in waiting:
        reason = f": {service.problems[0]}" if service.problems else ", not verified yet" * bool(service.verify_left_ms)
        lines.append(f"{service.name}: {counts(service)}{reason}")
    return "\n       ".join(lines)
