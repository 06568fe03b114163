"""The pace of replacements: those of another template, and those on nodes that are being drained.

The next step waits until the replaced ones count. What is known between passes lies in the tasks and in
`ServiceStatus.update` (see `rollout`), so another leader goes on exactly where this one stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task

_HOLDING = frozenset({UpdateStatus.PAUSED, UpdateStatus.CANARY})


@dataclass(frozen=True)
class Mover:
    """A slot whose task is to be replaced.

    Attributes:
        task: runs, or is on its way to.
        running: it serves; replacing one that does not makes nothing worse.
        outdated: of another template; otherwise its node is being drained.
        drained: its node is being drained, or it moves to even the service out.
        misplaced: the placement does not admit it where it is.
    """

    task: Task
    running: bool
    outdated: bool
    drained: bool = False
    misplaced: bool = False


@dataclass(frozen=True)
class Unsettled:
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

    replace: tuple[Mover, ...]
    wake_at_ms: int | None = None


def in_flight(update: UpdateStatus | None, unsettled: Sequence[Unsettled]) -> int:
    """Slots for which an update waits: not those that have failed, nor those that found no node before it began."""
    began = update.started_at_ms if update is not None else 0
    return sum(not slot.failed and not (slot.pending and slot.since_ms < began) for slot in unsettled)


def next_step(
    config: UpdateConfig,
    update: UpdateStatus | None,
    movers: Sequence[Mover],
    unsettled: Sequence[Unsettled],
    now_ms: int,
    *,
    moving: Sequence[Unsettled] = (),
    moved_at_ms: int = 0,
) -> Step:
    """Choose what to replace: all that do not run, and of those that run as many as parallelism leaves.

    The delay is kept between two steps of an update, and between two of what the placement does not admit any more.

    Args:
        update: as it stands after this pass; one that is paused or waits replaces nothing.
        movers: all there are.
        moving: slots for which no update waits, where something is on its way too.
        moved_at_ms: when the newest move for the placement was made, 0: never. Milliseconds since the Unix epoch.
    """
    held = update is not None and update.state in _HOLDING
    movers = [mover for mover in movers if not (held and mover.outdated and not mover.drained)]
    updating = any(mover.outdated for mover in movers)
    idle = [mover for mover in movers if not mover.running]
    serving = sorted((mover for mover in movers if mover.running), key=_order)
    busy = len(idle) + (in_flight(update, unsettled) if updating else sum(not slot.crashing for slot in unsettled))
    free = max(0, (config.parallelism or 1) - busy - sum(not slot.crashing for slot in moving))
    stepped_at = max(moved_at_ms, update.last_step_at_ms if update is not None else 0)
    rested_at = stepped_at + config.delay_ms if stepped_at else 0
    if free and rested_at > now_ms:
        ready = [mover for mover in serving if not (updating or mover.misplaced)]
        return Step((*idle, *ready[:free]), rested_at if len(ready) < len(serving) else None)
    return Step((*idle, *serving[:free]))


def spare_the_rest(step: Step, config: UpdateConfig, update: UpdateStatus | None, *, canaries: int) -> Step:
    """The step cut to what the canaries leave: no more slots than `config.canary` before the promotion.

    Args:
        canaries: slots that have, or get, the new template.
    """
    if update is None or update.state != UpdateStatus.UPDATING or update.promoted or not config.canary:
        return step
    left = max(0, config.canary - canaries)
    kept: list[Mover] = []
    for mover in step.replace:
        if mover.outdated and not mover.drained:
            if not left:
                continue
            left -= 1
        kept.append(mover)
    return Step(tuple(kept), step.wake_at_ms)


def _order(mover: Mover) -> tuple[bool, int, str]:
    return not mover.outdated, mover.task.slot, mover.task.node_id
