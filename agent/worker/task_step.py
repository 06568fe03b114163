"""What to do next for one task: a pure function from what is wanted and what is there.

Nothing is remembered here. After a crash at any point the same question is asked again from what the journal and the
host say, and the answer repairs: every action may be repeated, and each leads nearer to rest. The invariants, which the
tests hold it to: states go forward only; an ended task never runs again; a container that is not wanted does not stay;
nothing of a forgotten task remains.
"""

from dataclasses import dataclass
from enum import Enum, auto

from shoal import task_states
from shoal.api.v1.task_pb2 import Task, TaskState


class Goal(Enum):
    """What is wanted of a task."""

    RUN = auto()
    STOP = auto()
    """Stopped, and its log kept: it is still assigned."""
    REMOVED = auto()
    """No longer assigned: nothing of it stays."""


class Container(Enum):
    """What the host has of it."""

    ABSENT = auto()
    RUNNING = auto()
    EXITED = auto()


@dataclass(frozen=True)
class TaskFacts:
    """All that the decision rests on.

    Attributes:
        state: the last one reported (a TaskState value), 0 when the task was not accepted yet.
        prepared: image and sandbox are at hand in this process.
        signalled: the stop signal was sent. overdue: and the grace is over.
        released: an ended task's container, root file system and network are removed.
        needs_drain: it is to stop, and clients may still be led to it.
        must_wait_for_others: it is to stop, and tasks that it shares a network with come first.
        monitoring_due: it has a health check, and nobody makes it.
        unhealthy: its health check says that it does not serve any more.
        post_start_due, pre_stop_due: it has hooks for then, and they have not been run. hook_failed: one after the
            start has failed, so the task is to fail.
    """

    goal: Goal
    state: int
    container: Container
    prepared: bool = False
    signalled: bool = False
    grace_expired: bool = False
    released: bool = False
    monitoring_due: bool = False
    unhealthy: bool = False
    needs_drain: bool = False
    must_wait_for_others: bool = False
    post_start_due: bool = False
    hook_failed: bool = False
    pre_stop_due: bool = False


class TaskAction(Enum):
    """The next step; each is one method of `TaskRunner`."""

    ACCEPT = auto()
    """Put it in the journal."""
    PREPARE = auto()
    """Get the image, make the sandbox."""
    START = auto()
    POST_START = auto()
    """Run its hooks after the start."""
    REPORT_RUNNING = auto()
    MONITOR = auto()
    """Begin to make its health check."""
    DRAIN = auto()
    """Wait until no client is led to it any more."""
    WAIT_FOR_OTHERS = auto()
    """Wait until those that share its network have ended, or until nobody is led to the one whose network it shares."""
    PRE_STOP = auto()
    """Run its hooks before the stop signal."""
    SIGNAL = auto()
    KILL = auto()
    REPORT_EXIT = auto()
    REPORT_LOST = auto()
    """It ran, and there is no trace of how it ended."""
    REPORT_STOPPED = auto()
    """It is to stop and never started."""
    RELEASE = auto()
    """Give everything back but the log."""
    FORGET = auto()
    """Remove log and journal entry: the end."""
    WAIT = auto()
    """Until a fact changes."""


def goal_of(task: Task | None) -> Goal:
    """What is wanted of a task as it is assigned; None is one that is not assigned any more."""
    if task is None:
        return Goal.REMOVED
    if task_states.should_run(task) and not task_states.is_terminal(task.state):
        return Goal.RUN
    return Goal.STOP


def next_action(facts: TaskFacts) -> TaskAction:
    """The next step for a task."""
    if task_states.is_terminal(facts.state):
        return _after_end(facts)
    if facts.container is Container.EXITED:
        return TaskAction.REPORT_EXIT if facts.state else TaskAction.ACCEPT
    if facts.container is Container.RUNNING:
        return _running(facts)
    return _absent(facts)


def _after_end(facts: TaskFacts) -> TaskAction:
    if not facts.released:
        return TaskAction.RELEASE
    return TaskAction.FORGET if facts.goal is Goal.REMOVED else TaskAction.WAIT


def _running(facts: TaskFacts) -> TaskAction:
    if facts.goal is not Goal.RUN or facts.unhealthy or facts.hook_failed:
        return _stopping(facts)
    if not facts.state:
        return TaskAction.ACCEPT
    if facts.state < TaskState.RUNNING:
        return TaskAction.POST_START if facts.post_start_due else TaskAction.REPORT_RUNNING
    return TaskAction.MONITOR if facts.monitoring_due else TaskAction.WAIT


def _stopping(facts: TaskFacts) -> TaskAction:
    if facts.signalled:
        return TaskAction.KILL if facts.grace_expired else TaskAction.WAIT
    if facts.needs_drain:
        return TaskAction.DRAIN
    if facts.must_wait_for_others:
        return TaskAction.WAIT_FOR_OTHERS
    # What never ran has nothing to prepare for its stop.
    return TaskAction.PRE_STOP if facts.pre_stop_due and facts.state == TaskState.RUNNING else TaskAction.SIGNAL


def _absent(facts: TaskFacts) -> TaskAction:
    if facts.state >= TaskState.RUNNING:
        return TaskAction.REPORT_LOST
    if facts.goal is not Goal.RUN:
        return TaskAction.REPORT_STOPPED
    if not facts.state:
        return TaskAction.ACCEPT
    return TaskAction.START if facts.prepared else TaskAction.PREPARE
