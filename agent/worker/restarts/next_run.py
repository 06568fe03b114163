"""The run that follows the end of a task, by its restart policy, when its node decides. Pure."""

from dataclasses import dataclass

from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.restarts.container_restart import decide_restart
from shoal.restarts.restart_policy import decide, ended_by_itself, job_restart_policy


@dataclass(frozen=True)
class NextRun:
    """A further run of a task.

    Attributes:
        due_ms: milliseconds since the Unix epoch.
        attempt, delay_ms: as `NodeRestarts.attempt` and `restart_delay_ms`.
    """

    due_ms: int
    attempt: int
    delay_ms: int = 0


def next_run(
    task: Task, revision: ServiceRevision | None, end: TaskStatus, *, held: bool, now_ms: int
) -> NextRun | None:
    """The run that follows; None: none does.

    Args:
        revision: that the task runs; None: unknown.
        end: how its run has ended.
        held: a container's user has sent it a signal.
        now_ms: milliseconds since the Unix epoch.
    """
    if revision is None or revision.spec.task.build_id or not ended_by_itself(task, end):
        return None
    if task.container_id:
        restart = decide_restart(task.restart, task, end, held=held, now_ms=now_ms)
        return NextRun(restart.due_ms, restart.attempt, restart.delay_ms) if restart is not None else None
    if not revision.spec.task.HasField("restart"):  # managers of earlier releases left it out
        return None
    policy = revision.spec.task.restart
    decision = decide(job_restart_policy(policy) if task.job_run else policy, [(task, end)], now_ms=now_ms)
    return NextRun(decision.due_ms, decision.attempt) if decision.due_ms is not None else None
