"""The life of an update: under way, waiting at its canaries, paused, rolled back, completed.

States and what leads from one to the next:

    (none) -> UPDATING             a task of another template than the newest one is left
    UPDATING <-> CANARY            the canaries count and wait; promotion
    UPDATING, CANARY -> COMPLETED  every slot runs the newest template (or has failed, where that is tolerated)
                     -> PAUSED     by the user; by a failure when the action is PAUSE, or no revision to return to
                     -> ROLLING_BACK -> ROLLED_BACK, or PAUSED when the rollback fails too (the user's own as well)
    PAUSED -> UPDATING or ROLLING_BACK   `resume`

All of it lies in `UpdateStatus`, so another leader goes on exactly where this one stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig, UpdateStatus, UpdateSteering

S = UpdateStatus

MONITOR_MS = 1_000
PROGRESS_DEADLINE_MS = 600_000

WATCHED = frozenset({S.UPDATING, S.CANARY, S.ROLLING_BACK})
"""Under way: new tasks have to prove themselves."""
ENDED = frozenset({S.COMPLETED, S.ROLLED_BACK})


@dataclass(frozen=True)
class Facts:
    """What a pass has seen of a service, by the template in force.

    Attributes:
        slots: that the service has.
        outdated: tasks of another template that are wanted still.
        elsewhere: canaries that are not of these slots.
        in_flight: slots that have a replacement that does not count yet.
        failed: slots in which a replacement has failed.
        reason: of the newest failure, one line for the user.
        running: the revision that the outdated tasks run, 0 when there are none.
        returns: the newest template is the one that the update before came from.
    """

    slots: int
    outdated: int = 0
    elsewhere: int = 0
    in_flight: int = 0
    failed: int = 0
    reason: str = ""
    running: int = 0
    returns: bool = False


def config_of(spec: ServiceSpec, update: UpdateStatus | None) -> UpdateConfig:
    """The policy in force: that of rollbacks while one is."""
    returning = update is not None and (update.effective_revision or update.returning)
    return spec.rollback if returning and spec.HasField("rollback") else spec.update


def monitor_ms(config: UpdateConfig) -> int:
    """How long a new task has to be ready before it counts."""
    return config.monitor_ms if config.HasField("monitor_ms") else MONITOR_MS


def deadline_ms(config: UpdateConfig) -> int:
    """How long an update may go without progress; 0: for ever."""
    return config.progress_deadline_ms if config.HasField("progress_deadline_ms") else PROGRESS_DEADLINE_MS


def advance(
    known: UpdateStatus | None,
    facts: Facts,
    *,
    spec: ServiceSpec,
    task_revision: int,
    steering: UpdateSteering,
    now_ms: int,
) -> UpdateStatus | None:
    """How the update stands after what was seen; None when the service has never been updated.

    Args:
        known: as last written, perhaps of an earlier update.
        task_revision: the newest one.
    """
    if known is None or known.task_revision != task_revision:
        if not facts.outdated:
            return known
        status = begun(known, facts, task_revision, steering, now_ms)
    else:
        status = UpdateStatus()
        status.CopyFrom(known)
    if status.state in ENDED:
        return status
    if steering.task_revision == task_revision:
        _obey(status, steering, now_ms)
    if status.state in WATCHED:
        _judge(status, facts, config_of(spec, status), now_ms)
    return status


def awaits_promotion(update: UpdateStatus, config: UpdateConfig) -> bool:
    """The update has canaries, and nobody has promoted it: scaling the service, even to 0, does not."""
    has_canaries = bool(config.canary and update.previous_revision)
    taken_back = bool(update.effective_revision or update.returning) or update.state in ENDED
    return has_canaries and not update.promoted and not taken_back


def due_ms(status: UpdateStatus | None, spec: ServiceSpec) -> int | None:
    """When the progress deadline is over, milliseconds since the Unix epoch."""
    if status is None or status.state not in (S.UPDATING, S.ROLLING_BACK):
        return None
    allowed = deadline_ms(config_of(spec, status))
    return status.progressed_at_ms + allowed if allowed else None


def _is_taken_back(known: UpdateStatus | None, facts: Facts) -> bool:
    """The user returns to what the update under way came from."""
    return known is not None and known.state not in ENDED and facts.returns


def returns(known: UpdateStatus | None, differs_from: Callable[[int], bool]) -> bool:
    """Whether the newest template is the one that the update before came from.

    Args:
        differs_from: whether the newest template is another one than that of a revision.
    """
    return known is not None and bool(known.previous_revision) and not differs_from(known.previous_revision)


def begun(
    known: UpdateStatus | None, facts: Facts, task_revision: int, steering: UpdateSteering, now_ms: int
) -> UpdateStatus:
    """An update at its very beginning; for the arguments see `advance`. Of the facts `running` and `returns` count."""
    asked = steering.rollback and steering.task_revision == task_revision
    returning = asked or _is_taken_back(known, facts)
    return UpdateStatus(
        returning=returning,
        promoted=returning,
        state=S.UPDATING,
        task_revision=task_revision,
        previous_revision=_last_good(known) or facts.running,
        started_at_ms=now_ms,
        watched_since_ms=now_ms,
        progressed_at_ms=now_ms,
    )


def _last_good(known: UpdateStatus | None) -> int:
    """What the update before has led to, or what it came from when it did not end."""
    if known is None:
        return 0
    if known.state == S.COMPLETED:
        return known.task_revision
    return known.effective_revision or known.previous_revision


def _obey(status: UpdateStatus, steering: UpdateSteering, now_ms: int) -> None:
    if steering.resumed > status.resumed:
        status.resumed = steering.resumed
        if status.state == S.PAUSED:
            _restart(status, S.ROLLING_BACK if status.effective_revision else S.UPDATING, now_ms)
            status.message = ""
    if steering.paused and status.state in WATCHED:
        status.state, status.message = S.PAUSED, "paused by the user"
    if steering.promoted and not status.promoted:
        status.promoted = True
        if status.state == S.CANARY:
            status.state, status.progressed_at_ms = S.UPDATING, now_ms


def _restart(status: UpdateStatus, state: UpdateStatus.State.ValueType, now_ms: int) -> None:
    status.state = state
    status.watched_since_ms = status.progressed_at_ms = now_ms
    status.settled = 0


def _judge(status: UpdateStatus, facts: Facts, config: UpdateConfig, now_ms: int) -> None:
    if facts.failed > config.max_failure_ratio * facts.slots:
        why = f"{facts.failed} of {facts.slots} failed: {facts.reason}"
        if _fail(status, config, why, now_ms):
            return
    was_waiting = status.state == S.CANARY
    settled = max(0, facts.slots - facts.outdated - facts.in_flight)
    if settled > status.settled:
        status.progressed_at_ms = now_ms
    status.settled = settled
    gated = awaits_promotion(status, config) and not (config.auto_promote and facts.slots)
    if not facts.outdated and not facts.in_flight and not gated:
        _end(status, f"{facts.failed} of {facts.slots} failed: {facts.reason}" if facts.failed else "", now_ms)
    elif status.state != S.CANARY and _is_late(status, config, now_ms):
        why = f"no progress for {deadline_ms(config) / 1000:g} s: {facts.outdated + facts.in_flight} tasks are left"
        if not _fail(status, config, f"{why}{facts.reason and ': '}{facts.reason}", now_ms):
            _end(status, why, now_ms)
    elif status.state != S.ROLLING_BACK:
        _mind_canaries(status, facts, config)
        if was_waiting and status.state == S.UPDATING:
            status.progressed_at_ms = now_ms


def _fail(status: UpdateStatus, config: UpdateConfig, why: str, now_ms: int) -> bool:
    """Take the failure action; False when that is to go on."""
    if config.failure_action == UpdateConfig.CONTINUE:
        return False
    if status.state == S.ROLLING_BACK or status.returning:  # which is not rolled back in its turn
        status.state, status.message = S.PAUSED, f"the rollback failed: {why}"
    elif config.failure_action == UpdateConfig.PAUSE or not status.previous_revision:
        status.state, status.message = S.PAUSED, why
    else:
        status.effective_revision, status.message = status.previous_revision, why
        _restart(status, S.ROLLING_BACK, now_ms)
    return True


def _is_late(status: UpdateStatus, config: UpdateConfig, now_ms: int) -> bool:
    allowed = deadline_ms(config)
    return bool(allowed) and now_ms >= status.progressed_at_ms + allowed


def _end(status: UpdateStatus, message: str, now_ms: int) -> None:
    if status.state == S.ROLLING_BACK:
        # Why it was rolled back stays; what did not go back is told as well.
        status.state = S.ROLLED_BACK
        status.message = "; ".join(filter(None, (status.message, message and f"the rollback: {message}")))
    else:
        status.state, status.message = S.COMPLETED, message
    status.finished_at_ms = now_ms


def _mind_canaries(status: UpdateStatus, facts: Facts, config: UpdateConfig) -> None:
    if not config.canary or status.promoted:
        status.state = S.UPDATING
    elif facts.slots - facts.outdated + facts.elsewhere >= min(config.canary, facts.slots) and not facts.in_flight:
        if config.auto_promote and facts.slots:
            status.promoted = True
        else:
            status.state = S.CANARY
    else:
        status.state = S.UPDATING
