"""The pace of replacements: for updates, drains, placement changes and rebalancing.

The next step waits until the replaced ones are available. All state lies in the tasks and in `ServiceStatus.update`
(see `update_state`), so that another leader continues exactly where this one stopped.
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
        task: the one to replace, running or starting.
        ready: the task is ready; replacing one that is not makes nothing worse.
        outdated: it is of another template.
        leaving: its node is being drained, or a rebalance moves it.
        misplaced: its node does not meet the placement.
    """

    task: Task
    ready: bool
    outdated: bool
    leaving: bool = False
    misplaced: bool = False


@dataclass(frozen=True)
class UnavailableSlot:
    """A slot that has no available task of the desired template, and none that could be replaced.

    Attributes:
        since_ms: when its task was created, 0 when it has none. Milliseconds since the Unix epoch.
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
    """Which tasks to replace now, and when there may be more to replace though nothing changes."""

    replace: tuple[Replacement, ...]
    next_due_ms: int | None = None


def in_flight(update: UpdateStatus | None, unavailable: Sequence[UnavailableSlot]) -> int:
    """Slots that an update waits for: not those that have failed, nor those that found no node before it began."""
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
    """Choose what to replace: all tasks that are not ready, and of the ready ones as many as parallelism leaves.

    The delay lies between two steps of an update, and between two moves of misplaced tasks.

    Args:
        update: its status after this pass; one that is paused, or awaits its promotion, replaces nothing.
        replacements: all candidates.
        stable_unavailable: slots of stable tasks, which no update waits for.
        moved_at_ms: when a misplaced task was last moved, 0: never. Milliseconds since the Unix epoch.
    """
    held = update is not None and update.state in _ON_HOLD
    replacements = [each for each in replacements if not (held and each.outdated and not each.leaving)]
    updating = any(each.outdated for each in replacements)
    unready = [each for each in replacements if not each.ready]
    ready = sorted((each for each in replacements if each.ready), key=_order)
    busy = len(unready) + (
        in_flight(update, unavailable) if updating else sum(not slot.crashing for slot in unavailable)
    )
    free = max(0, (config.parallelism or 1) - busy - sum(not slot.crashing for slot in stable_unavailable))
    stepped_at = max(moved_at_ms, update.last_step_at_ms if update is not None else 0)
    rested_at = stepped_at + config.delay_ms if stepped_at else 0
    if free and rested_at > now_ms:
        undelayed = [each for each in ready if not (updating or each.misplaced)]
        return Step((*unready, *undelayed[:free]), rested_at if len(undelayed) < len(ready) else None)
    return Step((*unready, *ready[:free]))


def limit_to_canaries(step: Step, config: UpdateConfig, update: UpdateStatus | None, *, canaries: int) -> Step:
    """The step, limited so that no more slots than `config.canary` get the new template before the promotion.

    Args:
        canaries: slots that have, or get, the new template.
    """
    if update is None or update.state != UpdateStatus.UPDATING or update.promoted or not config.canary:
        return step
    left = max(0, config.canary - canaries)
    kept: list[Replacement] = []
    for each in step.replace:
        if each.outdated and not each.leaving:
            if not left:
                continue
            left -= 1
        kept.append(each)
    return Step(tuple(kept), step.next_due_ms)


def _order(replacement: Replacement) -> tuple[bool, int, str]:
    return not replacement.outdated, replacement.task.slot, replacement.task.node_id
