"""Replaces tasks a few at a time: those of another template, and those on nodes that are being drained.

The next step waits until the replaced ones run. What is known between passes lies in the tasks and in
`ServiceStatus.update`, so another leader goes on exactly where this one stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task


@dataclass(frozen=True)
class Mover:
    """A slot whose task is to be replaced.

    Attributes:
        task: runs, or is on its way to.
        running: it serves; replacing one that does not makes nothing worse.
        outdated: of another template; otherwise its node is being drained.
    """

    task: Task
    running: bool
    outdated: bool


@dataclass(frozen=True)
class Unsettled:
    """A slot that has no running task of the wanted template, and none that could be replaced.

    Attributes:
        since_ms: when its task was made, 0 when it has none. Milliseconds since the Unix epoch.
        pending: its task has found no node.
        crashing: it is a successor of a task that ended by itself.
    """

    since_ms: int = 0
    pending: bool = False
    crashing: bool = False


@dataclass(frozen=True)
class Step:
    """What to do now: which to replace, and when there may be more to do without another change."""

    replace: tuple[Mover, ...]
    wake_at_ms: int | None = None


def next_step(
    config: UpdateConfig,
    update: UpdateStatus | None,
    movers: Sequence[Mover],
    unsettled: Sequence[Unsettled],
    now_ms: int,
) -> Step:
    """Choose what to replace: all that do not run, and of those that run as many as parallelism leaves."""
    updating = any(mover.outdated for mover in movers)
    started = update.started_at_ms if update is not None else now_ms
    idle = tuple(mover for mover in movers if not mover.running)
    serving = sorted((mover for mover in movers if mover.running), key=_order)
    in_flight = len(idle) + sum(_counts(slot, updating, started) for slot in unsettled)
    free = max(0, (config.parallelism or 1) - in_flight)
    rested_at = update.last_step_at_ms + config.delay_ms if update is not None and update.last_step_at_ms else 0
    if free and serving and updating and rested_at > now_ms:
        return Step(idle, rested_at)
    return Step((*idle, *serving[:free]))


def progress(
    known: UpdateStatus | None, *, task_revision: int, outdated: bool, settled: bool, stepped: bool, now_ms: int
) -> UpdateStatus | None:
    """The update's status after this pass.

    Args:
        outdated: a task of another template is left.
        settled: every slot runs the wanted template.
        stepped: this pass replaces tasks.
    """
    running = known is not None and known.state == UpdateStatus.UPDATING and known.task_revision == task_revision
    if not running and not outdated:
        return known
    status = UpdateStatus(state=UpdateStatus.UPDATING, task_revision=task_revision, started_at_ms=now_ms)
    if running and known is not None:
        status.CopyFrom(known)
    if stepped:
        status.last_step_at_ms = now_ms
    if settled and not outdated:
        status.state = UpdateStatus.COMPLETED
        status.finished_at_ms = now_ms
    return status


def _counts(slot: Unsettled, updating: bool, started_ms: int) -> bool:
    # A task that found no node before the update began must not hold it up, nor a crash loop a drain.
    if updating:
        return not (slot.pending and slot.since_ms < started_ms)
    return not slot.crashing


def _order(mover: Mover) -> tuple[bool, int, str]:
    return not mover.outdated, mover.task.slot, mover.task.node_id
