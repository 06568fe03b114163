"""Decides the next action for one task, from the desired and the actual state. Pure.

Nothing is remembered here. After a crash at any point the decision is made again from the journal and the host, and it
converges: every action may be repeated, and each leads closer to the goal. The tests check these invariants: states
only move forward; a final task never runs again; an undesired container is removed; nothing of a forgotten task
remains.
"""

from dataclasses import dataclass
from enum import Enum, auto

from shoal import task_states
from shoal.api.v1.task_pb2 import Task, TaskState


class Goal(Enum):
    """The goal for a task."""

    RUN = auto()
    CREATE = auto()
    """Created and not started: its image, volumes and root file system are here, and nothing else."""
    STOP = auto()
    """Stopped, with its log kept: the task is still assigned."""
    REMOVED = auto()
    """No longer assigned: everything of it is removed."""


class Container(Enum):
    """State of its container on the host."""

    ABSENT = auto()
    RUNNING = auto()
    EXITED = auto()


class End(Enum):
    """The end of its run, where another run may follow it."""

    NONE = auto()
    """It has not ended, or its end is decided."""
    HELD = auto()
    """No manager knows it."""
    OFFERED = auto()
    """A manager may have stored it."""


@dataclass(frozen=True)
class EndFacts:
    """Of the end of its run, and of another one.

    Attributes:
        may_restart: the restart policy has another run follow the end. restart_due: now, and by this node.
        restarting: this node has decided on another run, which was not reported yet.
        in_contact: a manager is in reach.
    """

    end: End = End.NONE
    may_restart: bool = False
    restart_due: bool = False
    restarting: bool = False
    in_contact: bool = False


NO_END = EndFacts()


@dataclass(frozen=True)
class TaskFacts:
    """Input of the decision.

    Attributes:
        state: the last one reported (a TaskState value); 0 if the task was not accepted yet.
        made: image, volumes and, for a container's run, the root file system are available in this process.
        connected: the sandbox is.
        signalled: the stop signal was sent. grace_expired: and the grace period is over.
        released: an ended task's container, root file system and network are removed.
        needs_drain: it must stop, and may still receive connections.
        must_wait_for_others: it must stop, but tasks that share its network stop first.
        monitoring_due: it has a health or listening check that is not running.
        unhealthy: its health check has failed.
        changes_due: it has a new revision, and its container has the limits and networks of the earlier one.
        post_start_due, pre_stop_due: it has such hooks, and they have not been run. hook_failed: a post_start hook has
            failed, so the task fails.
    """

    goal: Goal
    state: int
    container: Container
    made: bool = False
    connected: bool = False
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
    changes_due: bool = False
    run_end: EndFacts = NO_END


class TaskAction(Enum):
    """The next action; each is one method of `TaskRunner`."""

    ACCEPT = auto()
    """Write it into the journal."""
    MAKE = auto()
    """Pull the image, prepare the volumes, make the root file system if it is a container's."""
    REPORT_READY = auto()
    """It is created, and waits for its start."""
    CONNECT = auto()
    """Create the sandbox."""
    START = auto()
    POST_START = auto()
    """Run its post_start hooks."""
    REPORT_RUNNING = auto()
    APPLY_CHANGES = auto()
    """Make its running container what its new revision says."""
    MONITOR = auto()
    """Start its health and listening checks."""
    DRAIN = auto()
    """Wait until it receives no more connections."""
    WAIT_FOR_OTHERS = auto()
    """Wait until tasks that share its network have stopped, or until the task whose network it shares is drained."""
    PRE_STOP = auto()
    """Run its pre_stop hooks."""
    SIGNAL = auto()
    KILL = auto()
    REPORT_EXIT = auto()
    REPORT_LOST = auto()
    """It ran, and its exit is unknown."""
    OFFER_END = auto()
    """Tell a manager how its run has ended, and wait until that is stored."""
    CONFIRM_END = auto()
    """Its run was the last one here."""
    RESTART = auto()
    """Begin another run."""
    REPORT_STOPPED = auto()
    """It must stop and never started."""
    RELEASE = auto()
    """Release everything except the log."""
    FORGET = auto()
    """Remove the log and the journal entry."""
    WAIT = auto()
    """Until a fact changes."""


def goal_of(task: Task | None) -> Goal:
    """The goal of a task by its assignment; None: not assigned any more."""
    if task is None:
        return Goal.REMOVED
    if task_states.should_run(task) and not task_states.is_terminal(task.state):
        return Goal.CREATE if task.desired_state == TaskState.READY else Goal.RUN
    return Goal.STOP


def next_action(facts: TaskFacts) -> TaskAction:
    """The next action for a task."""
    if task_states.is_terminal(facts.state):
        return _after_end(facts)
    if facts.run_end.end is not End.NONE:
        return _after_run(facts)
    if facts.container is Container.EXITED:
        return TaskAction.REPORT_EXIT if facts.state else TaskAction.ACCEPT
    if facts.container is Container.RUNNING:
        return _running(facts)
    return _absent(facts)


def _after_end(facts: TaskFacts) -> TaskAction:
    if not facts.released:
        return TaskAction.RELEASE
    return TaskAction.FORGET if facts.goal is Goal.REMOVED else TaskAction.WAIT


def _after_run(facts: TaskFacts) -> TaskAction:
    if facts.goal is not Goal.RUN or not facts.run_end.may_restart:
        return TaskAction.CONFIRM_END
    is_held = facts.run_end.end is End.HELD
    if is_held and facts.run_end.in_contact:
        return TaskAction.OFFER_END
    if not facts.released:
        return TaskAction.RELEASE
    return TaskAction.RESTART if is_held and facts.run_end.restart_due else TaskAction.WAIT


def _running(facts: TaskFacts) -> TaskAction:
    # One that was started is never only created again, so CREATE is an order that was overtaken by a later one.
    if facts.goal not in (Goal.RUN, Goal.CREATE) or facts.unhealthy or facts.hook_failed:
        return _stopping(facts)
    if not facts.state:
        return TaskAction.ACCEPT
    if facts.state < TaskState.RUNNING or facts.run_end.restarting:
        return TaskAction.POST_START if facts.post_start_due else TaskAction.REPORT_RUNNING
    if facts.changes_due:
        return TaskAction.APPLY_CHANGES
    return TaskAction.MONITOR if facts.monitoring_due else TaskAction.WAIT


def _stopping(facts: TaskFacts) -> TaskAction:
    if facts.signalled:
        return TaskAction.KILL if facts.grace_expired else TaskAction.WAIT
    if facts.needs_drain:
        return TaskAction.DRAIN
    if facts.must_wait_for_others:
        return TaskAction.WAIT_FOR_OTHERS
    # A task that never ran has nothing to prepare for its stop.
    return TaskAction.PRE_STOP if facts.pre_stop_due and facts.state == TaskState.RUNNING else TaskAction.SIGNAL


def _absent(facts: TaskFacts) -> TaskAction:
    if facts.state >= TaskState.RUNNING and not facts.run_end.restarting:
        return TaskAction.REPORT_LOST
    if facts.goal not in (Goal.RUN, Goal.CREATE):
        return TaskAction.REPORT_STOPPED
    if not facts.state:
        return TaskAction.ACCEPT
    if facts.goal is Goal.CREATE and facts.state >= TaskState.READY:
        return TaskAction.WAIT
    if not facts.made:
        return TaskAction.MAKE
    if facts.goal is Goal.CREATE:
        return TaskAction.REPORT_READY
    return TaskAction.START if facts.connected else TaskAction.CONNECT
