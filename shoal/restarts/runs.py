"""The runs of a task: the one that managers began, and those that its node began in its place. Pure."""

from collections.abc import Sequence

from shoal.api.v1.task_pb2 import NodeRestarts, Task, TaskStatus

End = tuple[Task, TaskStatus | None]
"""An ended run: its task, and how it ended."""

MAX_TIMES = 100
"""As many restarts as a restart policy ever counts (`task_history`)."""


def runs_of(task: Task, status: TaskStatus | None) -> Sequence[End]:
    """Each run of an ended task as a task of its own, the oldest first; of earlier ones the end is not known."""
    if status is None or not status.HasField("restarts"):
        return ((task, status),)
    *earlier, _ = status.restarts.at_ms or (task.created_at_ms,)
    return ((task, None), *((_restarted(task, at_ms), None) for at_ms in earlier), newest_run(task, status))


def newest_run(task: Task, status: TaskStatus | None) -> End:
    """The newest run of a task as a task of its own."""
    if status is None or not status.HasField("restarts"):
        return task, status
    restarts = status.restarts
    run = _restarted(task, restarts.at_ms[-1] if restarts.at_ms else task.created_at_ms)
    run.attempt, run.restart_delay_ms = restarts.attempt, restarts.restart_delay_ms
    return run, status


def restart_count(task: Task, status: TaskStatus | None) -> int:
    """How often what the task runs was restarted, by managers and by its node."""
    return task.attempt + (status.restarts.count if status is not None else 0)


def slot_runs(ends: Sequence[End]) -> list[End]:
    """The runs of a slot, the oldest first: its restarts before the first of these tasks, then the runs of each.

    Args:
        ends: ended tasks of the slot, the oldest first.
    """
    earlier = [(_restarted(task, at_ms), None) for task, _ in ends[:1] for at_ms in task.restarted_at_ms]
    return [*earlier, *(run for task, status in ends for run in runs_of(task, status))]


def restarted(status: TaskStatus, end: TaskStatus, *, attempt: int, delay_ms: int, now_ms: int) -> TaskStatus:
    """The status of a task that its node has decided to restart.

    Args:
        status: the last one of the run that has ended.
        end: how that has ended.
        attempt, delay_ms: of the new run, by the restart policy.
        now_ms: milliseconds since the Unix epoch.
    """
    new, before = TaskStatus(), status.restarts
    new.CopyFrom(status)
    new.ClearField("exit_code")
    new.pid, new.oom_killed, new.paused, new.health = 0, False, False, TaskStatus.NONE
    new.message = new.warning = new.health_output = ""
    new.not_listening = True
    new.at_ms = max(now_ms, status.at_ms, end.at_ms)
    new.running_at_ms = new.at_ms if status.running_at_ms else 0
    new.restarts.CopyFrom(
        NodeRestarts(
            count=before.count + 1,
            attempt=attempt,
            restart_delay_ms=delay_ms,
            at_ms=[*before.at_ms, new.at_ms][-MAX_TIMES:],
            message=end.message,
            ended_at_ms=end.at_ms,
            starting=True,
        )
    )
    if end.HasField("exit_code"):
        new.restarts.exit_code = end.exit_code
    return new


def has_started(status: TaskStatus) -> None:
    """Note that the newest run has started."""
    if status.HasField("restarts"):
        status.restarts.starting = False


def _restarted(task: Task, at_ms: int) -> Task:
    run = Task()
    run.CopyFrom(task)
    run.attempt, run.created_at_ms = max(1, task.attempt), at_ms
    return run
