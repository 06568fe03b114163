"""The pace of replacements: for updates, drains, placement changes and rebalancing.

The next step waits until the replaced ones count. What is known between passes lies in the tasks and in
`ServiceStatus.update` (see `rollout`), so another leader goes on exactly where this one stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task

_ON_HOLD = frozenset({UpdateStatus.PAUSED, UpdateStatus.CANARY})


@dataclass(frozen=True)
class Replacement:
    """A slot whose task is to be replaced.

    Attributes:
        task: runs, or is on its way to.
        ready: it serves; replacing one that does not makes nothing worse.
        outdated: of another template; otherwise its node is being drained.
        leaving: its node is being drained, or it moves to even the service out.
        misplaced: the placement does not admit it where it is.
    """

    task: Task
    ready: bool
    outdated: bool
    leaving: bool = False
    misplaced: bool = False


@dataclass(frozen=True)
class UnavailableSlot:
    """A slot that has no task of the wanted template that counts, and none that could be replaced.

    Attributes:
        since_ms: when its task was made, 0 when it has none. Milliseconds since the Unix epoch.
        pending: its task has found no node.
        crashing: it is a successor of a task that ended by itself.
        failed: a replacement has failed in it since the update began.
    """

    since_ms: int = 0
    pending: bool = False
    crashing: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Step:
    """What to do now: which to replace, and when there may be more to do without another change."""

    replace: tuple[Replacement, ...]
    next_due_ms: int | None = None


def in_flight(update: UpdateStatus | None, unavailable: Sequence[UnavailableSlot]) -> int:
    """Slots for which an update waits: not those that have failed, nor those that found no node before it began."""
    began = update.started_at_ms if update is not None else 0
    return sum(not slot.failed and not (slot.pending and slot.since_ms < began) for slot in unavailable)


def next_step(
    config: UpdateConfig,
    update: UpdateStatus | None,
    replacements: Sequence[Replacement],
    unavailable: Sequence[UnavailableSlot],
    now_ms: int,
    *,
    stable_unavailable: Sequence[UnavailableSlot] = (),
    moved_at_ms: int = 0,
) -> Step:
    """Choose what to replace: all that do not run, and of those that run as many as parallelism leaves.

    The delay is kept between two steps of an update, and between two of what the placement does not admit any more.

    Args:
        update: as it stands after this pass; one that is paused or waits replaces nothing.
        replacements: all there are.
        stable_unavailable: slots for which no update waits, where something is on its way too.
        moved_at_ms: when the newest move for the placement was made, 0: never. Milliseconds since the Unix epoch.
    """
    held = update is not None and update.state in _ON_HOLD
    replacements = [mover for mover in replacements if not (held and mover.outdated and not mover.leaving)]
    updating = any(mover.outdated for mover in replacements)
    idle = [mover for mover in replacements if not mover.ready]
    serving = sorted((mover for mover in replacements if mover.ready), key=_order)
    busy = len(idle) + (in_flight(update, unavailable) if updating else sum(not slot.crashing for slot in unavailable))
    free = max(0, (config.parallelism or 1) - busy - sum(not slot.crashing for slot in stable_unavailable))
    stepped_at = max(moved_at_ms, update.last_step_at_ms if update is not None else 0)
    rested_at = stepped_at + config.delay_ms if stepped_at else 0
    if free and rested_at > now_ms:
        ready = [mover for mover in serving if not (updating or mover.misplaced)]
        return Step((*idle, *ready[:free]), rested_at if len(ready) < len(serving) else None)
    return Step((*idle, *serving[:free]))


def limit_to_canaries(step: Step, config: UpdateConfig, update: UpdateStatus | None, *, canaries: int) -> Step:
    """The step cut to what the canaries leave: no more slots than `config.canary` before the promotion.

    Args:
        canaries: slots that have, or get, the new template.
    """
    if update is None or update.state != UpdateStatus.UPDATING or update.promoted or not config.canary:
        return step
    left = max(0, config.canary - canaries)
    kept: list[Replacement] = []
    for mover in step.replace:
        if mover.outdated and not mover.leaving:
            if not left:
                continue
            left -= 1
        kept.append(mover)
    return Step(tuple(kept), step.next_due_ms)


def _order(mover: Replacement) -> tuple[bool, int, str]:
    return not mover.outdated, mover.task.slot, mover.task.node_id
