"""The state machine of an update: updating, at its canaries, paused, rolling back, completed.

States and transitions:

    (none) -> UPDATING             a task of another template than the newest one runs
    UPDATING <-> CANARY            the canaries are available, and await the promotion
    UPDATING, CANARY -> COMPLETED  every slot runs the newest template (or has failed, where that is tolerated)
                     -> PAUSED     by the user; by a failure when the action is PAUSE, or no revision to return to
                     -> ROLLING_BACK -> ROLLED_BACK, or PAUSED when the rollback fails too (the user's own as well)
    PAUSED -> UPDATING or ROLLING_BACK   `resume`

All state lies in `UpdateStatus`, so that another leader continues exactly where this one stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig, UpdateControl, UpdateStatus

S = UpdateStatus

MONITOR_MS = 1_000
PROGRESS_DEADLINE_MS = 600_000

MONITORED = frozenset({S.UPDATING, S.CANARY, S.ROLLING_BACK})
"""Under way: new tasks are monitored."""
ENDED = frozenset({S.COMPLETED, S.ROLLED_BACK})


@dataclass(frozen=True)
class Observed:
    """What a pass has observed of a service.

    Attributes:
        slots: how many the service has.
        outdated: active tasks of another template.
        extra_canaries: canaries outside these slots.
        in_flight: slots with a replacement that is not available yet.
        failed: slots in which a replacement has failed.
        reason: of the newest failure, one line for the user.
        running_revision: the revision that the outdated tasks run, 0 when there are none.
        reverts: the newest template is the one that the update before came from.
    """

    slots: int
    outdated: int = 0
    extra_canaries: int = 0
    in_flight: int = 0
    failed: int = 0
    reason: str = ""
    running_revision: int = 0
    reverts: bool = False


def config_of(spec: ServiceSpec, update: UpdateStatus | None) -> UpdateConfig:
    """The policy that applies: that of rollbacks during one."""
    reverting = update is not None and (update.effective_revision or update.reverting)
    return spec.rollback if reverting and spec.HasField("rollback") else spec.update


def monitor_ms(config: UpdateConfig) -> int:
    """How long a new task has to be ready before it is available."""
    return config.monitor_ms if config.HasField("monitor_ms") else MONITOR_MS


def progress_deadline_ms(config: UpdateConfig) -> int:
    """How long an update may go without progress; 0: for ever."""
    return config.progress_deadline_ms if config.HasField("progress_deadline_ms") else PROGRESS_DEADLINE_MS


def advance(
    known: UpdateStatus | None,
    observed: Observed,
    *,
    spec: ServiceSpec,
    task_revision: int,
    control: UpdateControl,
    now_ms: int,
) -> UpdateStatus | None:
    """The status of the update after what was observed; None when the service has never been updated.

    Args:
        known: as last written, perhaps of an earlier update.
        task_revision: the newest one.
    """
    if known is None or known.task_revision != task_revision:
        if not observed.outdated:
            return known
        status = begin(known, observed, task_revision, control, now_ms)
    else:
        status = UpdateStatus()
        status.CopyFrom(known)
    if status.state in ENDED:
        return status
    if control.task_revision == task_revision:
        _apply_control(status, control, now_ms)
    if status.state in MONITORED:
        _evaluate(status, observed, config_of(spec, status), now_ms)
    return status


def awaits_promotion(update: UpdateStatus, config: UpdateConfig) -> bool:
    """The update has canaries and has not been promoted. Scaling the service, even to 0, does not promote it."""
    has_canaries = bool(config.canary and update.previous_revision)
    taken_back = bool(update.effective_revision or update.reverting) or update.state in ENDED
    return has_canaries and not update.promoted and not taken_back


def deadline_at_ms(status: UpdateStatus | None, spec: ServiceSpec) -> int | None:
    """When the progress deadline passes, milliseconds since the Unix epoch; None when there is none."""
    if status is None or status.state not in (S.UPDATING, S.ROLLING_BACK):
        return None
    allowed = progress_deadline_ms(config_of(spec, status))
    return status.last_progress_at_ms + allowed if allowed else None


def _is_reverted(known: UpdateStatus | None, observed: Observed) -> bool:
    """The user submitted again what the update under way came from."""
    return known is not None and known.state not in ENDED and observed.reverts


def reverts(known: UpdateStatus | None, differs_from: Callable[[int], bool]) -> bool:
    """Whether the newest template is the one that the update before came from.

    Args:
        differs_from: whether the newest template is another one than that of a revision.
    """
    return known is not None and bool(known.previous_revision) and not differs_from(known.previous_revision)


def begin(
    known: UpdateStatus | None, observed: Observed, task_revision: int, control: UpdateControl, now_ms: int
) -> UpdateStatus:
    """The status of an update that begins; for the arguments see `advance`. Of `observed` only `running_revision` and
    `reverts` count."""
    asked = control.rollback and control.task_revision == task_revision
    reverting = asked or _is_reverted(known, observed)
    return UpdateStatus(
        reverting=reverting,
        promoted=reverting,
        state=S.UPDATING,
        task_revision=task_revision,
        previous_revision=_last_good(known) or observed.running_revision,
        started_at_ms=now_ms,
        monitored_since_ms=now_ms,
        last_progress_at_ms=now_ms,
    )


def _last_good(known: UpdateStatus | None) -> int:
    """What the update before has led to, or what it came from when it did not end."""
    if known is None:
        return 0
    if known.state == S.COMPLETED:
        return known.task_revision
    return known.effective_revision or known.previous_revision


def _apply_control(status: UpdateStatus, control: UpdateControl, now_ms: int) -> None:
    if control.resume_count > status.resume_count:
        status.resume_count = control.resume_count
        if status.state == S.PAUSED:
            _restart(status, S.ROLLING_BACK if status.effective_revision else S.UPDATING, now_ms)
            status.message = ""
    if control.paused and status.state in MONITORED:
        status.state, status.message = S.PAUSED, "paused by the user"
    if control.promoted and not status.promoted:
        status.promoted = True
        if status.state == S.CANARY:
            status.state, status.last_progress_at_ms = S.UPDATING, now_ms


def _restart(status: UpdateStatus, state: UpdateStatus.State.ValueType, now_ms: int) -> None:
    status.state = state
    status.monitored_since_ms = status.last_progress_at_ms = now_ms
    status.available_slots = 0


def _evaluate(status: UpdateStatus, observed: Observed, config: UpdateConfig, now_ms: int) -> None:
    if observed.failed > config.max_failure_ratio * observed.slots:
        why = f"{observed.failed} of {observed.slots} tasks failed: {observed.reason}"
        if _apply_failure_action(status, config, why, now_ms):
            return
    was_waiting = status.state == S.CANARY
    successful = max(0, observed.slots - observed.outdated - observed.in_flight)
    if successful > status.available_slots:
        status.last_progress_at_ms = now_ms
    status.available_slots = successful
    gated = awaits_promotion(status, config) and not (config.auto_promote and observed.slots)
    if not observed.outdated and not observed.in_flight and not gated:
        _finish(
            status,
            f"{observed.failed} of {observed.slots} tasks failed: {observed.reason}" if observed.failed else "",
            now_ms,
        )
    elif status.state != S.CANARY and _is_past_deadline(status, config, now_ms):
        remaining = observed.outdated + observed.in_flight
        tasks = f"{remaining} task{'' if remaining == 1 else 's'}"
        why = f"no progress for {progress_deadline_ms(config) / 1000:g} s, {tasks} remaining"
        if not _apply_failure_action(status, config, f"{why}{observed.reason and ': '}{observed.reason}", now_ms):
            _finish(status, why, now_ms)
    elif status.state != S.ROLLING_BACK:
        _advance_canaries(status, observed, config)
        if was_waiting and status.state == S.UPDATING:
            status.last_progress_at_ms = now_ms


def _apply_failure_action(status: UpdateStatus, config: UpdateConfig, why: str, now_ms: int) -> bool:
    """Apply the failure action; False when that is to continue."""
    if config.failure_action == UpdateConfig.CONTINUE:
        return False
    if status.state == S.ROLLING_BACK or status.reverting:  # which is not rolled back in its turn
        status.state, status.message = S.PAUSED, f"rollback failed: {why}"
    elif config.failure_action == UpdateConfig.PAUSE or not status.previous_revision:
        status.state, status.message = S.PAUSED, why
    else:
        status.effective_revision, status.message = status.previous_revision, why
        _restart(status, S.ROLLING_BACK, now_ms)
    return True


def _is_past_deadline(status: UpdateStatus, config: UpdateConfig, now_ms: int) -> bool:
    allowed = progress_deadline_ms(config)
    return bool(allowed) and now_ms >= status.last_progress_at_ms + allowed


def _finish(status: UpdateStatus, message: str, now_ms: int) -> None:
    if status.state == S.ROLLING_BACK:
        # The reason of the rollback stays; what was not rolled back is added.
        status.state = S.ROLLED_BACK
        status.message = "; ".join(filter(None, (status.message, message and f"rollback: {message}")))
    else:
        status.state, status.message = S.COMPLETED, message
    status.finished_at_ms = now_ms


def _advance_canaries(status: UpdateStatus, observed: Observed, config: UpdateConfig) -> None:
    if not config.canary or status.promoted:
        status.state = S.UPDATING
    elif (
        observed.slots - observed.outdated + observed.extra_canaries >= min(config.canary, observed.slots)
        and not observed.in_flight
    ):
        if config.auto_promote and observed.slots:
            status.promoted = True
        else:
            status.state = S.CANARY
    else:
        status.state = S.UPDATING
