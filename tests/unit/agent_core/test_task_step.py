"""The transition table of a task: single rows, and a model that crashes between any two steps."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from agent.worker.task_step import Container, Goal, TaskAction, TaskFacts, goal_of, next_action
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_terminal

S = TaskState
A = TaskAction
C = Container


def test_the_way_of_a_task_that_runs_and_ends() -> None:
    rows = [
        (TaskFacts(Goal.RUN, 0, C.ABSENT), A.ACCEPT),
        (TaskFacts(Goal.RUN, S.ACCEPTED, C.ABSENT), A.MAKE),
        (TaskFacts(Goal.RUN, S.PREPARING, C.ABSENT, made=True), A.CONNECT),
        (TaskFacts(Goal.RUN, S.PREPARING, C.ABSENT, made=True, connected=True), A.START),
        (TaskFacts(Goal.RUN, S.STARTING, C.RUNNING), A.REPORT_RUNNING),
        (TaskFacts(Goal.RUN, S.RUNNING, C.RUNNING), A.WAIT),
        (TaskFacts(Goal.RUN, S.RUNNING, C.EXITED), A.REPORT_EXIT),
        (TaskFacts(Goal.RUN, S.FAILED, C.EXITED), A.RELEASE),
        (TaskFacts(Goal.RUN, S.FAILED, C.ABSENT, released=True), A.WAIT),
        (TaskFacts(Goal.REMOVED, S.FAILED, C.ABSENT, released=True), A.FORGET),
    ]
    assert [next_action(facts) for facts, _ in rows] == [action for _, action in rows]


def test_the_way_of_a_container_that_is_created_and_started_later() -> None:
    rows = [
        (TaskFacts(Goal.CREATE, 0, C.ABSENT), A.ACCEPT),
        (TaskFacts(Goal.CREATE, S.ACCEPTED, C.ABSENT), A.MAKE),
        (TaskFacts(Goal.CREATE, S.PREPARING, C.ABSENT, made=True), A.REPORT_READY),
        (TaskFacts(Goal.CREATE, S.READY, C.ABSENT, made=True), A.WAIT),
        # After a restart of the agent nothing is needed before the start.
        (TaskFacts(Goal.CREATE, S.READY, C.ABSENT), A.WAIT),
        (TaskFacts(Goal.RUN, S.READY, C.ABSENT), A.MAKE),
        (TaskFacts(Goal.RUN, S.READY, C.ABSENT, made=True), A.CONNECT),
        (TaskFacts(Goal.RUN, S.READY, C.ABSENT, made=True, connected=True), A.START),
        # An order to create it that comes late, from a manager that knows less.
        (TaskFacts(Goal.CREATE, S.RUNNING, C.RUNNING), A.WAIT),
        (TaskFacts(Goal.CREATE, S.STARTING, C.RUNNING), A.REPORT_RUNNING),
        (TaskFacts(Goal.CREATE, S.STARTING, C.ABSENT, made=True), A.WAIT),
        (TaskFacts(Goal.STOP, S.READY, C.ABSENT, made=True), A.REPORT_STOPPED),
        (TaskFacts(Goal.REMOVED, S.READY, C.ABSENT), A.REPORT_STOPPED),
    ]
    assert [next_action(facts) for facts, _ in rows] == [action for _, action in rows]


def test_the_way_of_a_task_that_is_stopped() -> None:
    for goal in (Goal.STOP, Goal.REMOVED):
        rows = [
            (TaskFacts(goal, S.RUNNING, C.RUNNING), A.SIGNAL),
            (TaskFacts(goal, S.RUNNING, C.RUNNING, signalled=True), A.WAIT),
            (TaskFacts(goal, S.RUNNING, C.RUNNING, signalled=True, grace_expired=True), A.KILL),
            (TaskFacts(goal, S.RUNNING, C.EXITED, signalled=True), A.REPORT_EXIT),
            (TaskFacts(goal, S.ACCEPTED, C.ABSENT), A.REPORT_STOPPED),
            (TaskFacts(goal, 0, C.ABSENT), A.REPORT_STOPPED),
        ]
        assert [next_action(facts) for facts, _ in rows] == [action for _, action in rows]


def test_a_task_that_clients_may_still_be_led_to_is_drained_before_its_signal() -> None:
    rows = [
        (TaskFacts(Goal.STOP, S.RUNNING, C.RUNNING, needs_drain=True), A.DRAIN),
        (TaskFacts(Goal.STOP, S.RUNNING, C.EXITED, needs_drain=True), A.REPORT_EXIT),
        (TaskFacts(Goal.STOP, S.RUNNING, C.RUNNING, needs_drain=True, signalled=True), A.WAIT),
    ]
    assert [next_action(facts) for facts, _ in rows] == [action for _, action in rows]


def test_the_way_of_a_task_that_is_unhealthy() -> None:
    rows = [
        (TaskFacts(Goal.RUN, S.STARTING, C.RUNNING, monitoring_due=True), A.REPORT_RUNNING),
        (TaskFacts(Goal.RUN, S.RUNNING, C.RUNNING, monitoring_due=True), A.MONITOR),
        (TaskFacts(Goal.STOP, S.RUNNING, C.RUNNING, monitoring_due=True), A.SIGNAL),
        (TaskFacts(Goal.RUN, S.RUNNING, C.RUNNING, unhealthy=True), A.SIGNAL),
        (TaskFacts(Goal.RUN, S.RUNNING, C.RUNNING, unhealthy=True, signalled=True), A.WAIT),
        (TaskFacts(Goal.RUN, S.RUNNING, C.RUNNING, unhealthy=True, signalled=True, grace_expired=True), A.KILL),
        (TaskFacts(Goal.RUN, S.RUNNING, C.EXITED, unhealthy=True, signalled=True), A.REPORT_EXIT),
    ]
    assert [next_action(facts) for facts, _ in rows] == [action for _, action in rows]


def test_a_container_that_vanished_is_told_as_lost_but_a_start_that_crashed_is_repeated() -> None:
    assert next_action(TaskFacts(Goal.RUN, S.RUNNING, C.ABSENT)) is A.REPORT_LOST
    assert next_action(TaskFacts(Goal.RUN, S.STARTING, C.ABSENT)) is A.MAKE


def test_goals() -> None:
    assert goal_of(None) is Goal.REMOVED
    assert goal_of(Task(state=S.ASSIGNED, desired_state=S.RUNNING)) is Goal.RUN
    assert goal_of(Task(state=S.ASSIGNED, desired_state=S.READY)) is Goal.CREATE
    assert goal_of(Task(state=S.FAILED, desired_state=S.READY)) is Goal.STOP
    assert goal_of(Task(state=S.ASSIGNED, desired_state=S.SHUTDOWN)) is Goal.STOP
    assert goal_of(Task(state=S.ASSIGNED, desired_state=S.REMOVE)) is Goal.STOP
    assert goal_of(Task(state=S.FAILED, desired_state=S.RUNNING)) is Goal.STOP


@dataclass
class Host:
    """A task as journal and host have it; a crash loses what only the process knew.

    Its root file system, if it is a container's, is there once it was made, and nothing of the task's ever deletes it.
    """

    goal: Goal = Goal.RUN
    state: int = 0
    container: Container = C.ABSENT
    made: bool = False
    connected: bool = False
    root: bool = False
    signalled: bool = False
    overdue: bool = False
    released: bool = False
    journal: int = 0
    runs: int = 0
    forgotten: bool = False

    def facts(self) -> TaskFacts:
        return TaskFacts(
            self.goal,
            self.state,
            self.container,
            made=self.made,
            connected=self.connected,
            signalled=self.signalled,
            grace_expired=self.overdue,
            released=self.released,
        )

    def report(self, state: int) -> None:
        if state >= self.state:
            self.state = state
        if self.state in (S.ACCEPTED, S.READY, S.RUNNING) or is_terminal(self.state):
            self.journal = self.state

    def act(self, action: TaskAction) -> None:
        match action:
            case A.ACCEPT:
                self.report(S.ACCEPTED)
            case A.MAKE:
                self.report(S.PREPARING)
                self.made = self.root = True
            case A.REPORT_READY:
                assert self.root
                self.report(S.READY)
            case A.CONNECT:
                assert self.made and self.goal is Goal.RUN, "a created container has no network"
                self.connected = True
            case A.START:
                assert self.root and self.goal is Goal.RUN
                self.report(S.STARTING)
                self.container, self.connected = C.RUNNING, False
                self.runs += 1
            case A.REPORT_RUNNING:
                self.report(S.RUNNING)
            case A.SIGNAL:
                self.signalled = True
            case A.KILL:
                self.container = C.EXITED
            case A.REPORT_EXIT:
                self.report(S.FAILED if self.goal in (Goal.RUN, Goal.CREATE) else S.SHUTDOWN)
            case A.REPORT_LOST:
                self.report(S.FAILED)
            case A.REPORT_STOPPED:
                self.report(S.SHUTDOWN)
            case A.RELEASE:
                self.released, self.container = True, C.ABSENT
            case A.FORGET:
                self.forgotten = True
            case A.WAIT:
                self.overdue = self.signalled

    def crash(self) -> None:
        """The process is gone; a container that nobody reported as running is found by the next one."""
        self.state = self.journal
        self.made = self.connected = self.signalled = self.overdue = self.released = False
        if not self.state:
            # A container without a journal entry is removed at the start.
            self.container = C.ABSENT


EVENTS = st.sampled_from(["step", "step", "step", "crash", "exit", "start", "stale", "stop", "gone", "reboot"])


@given(st.lists(EVENTS, max_size=40), st.booleans())
def test_any_crash_is_repaired_and_nothing_goes_backward(events: list[str], is_created_first: bool) -> None:
    host = Host(Goal.CREATE if is_created_first else Goal.RUN)
    for event in events:
        before, had_root, runs = host.journal, host.root, host.runs
        if event == "step" and not host.forgotten:
            host.act(next_action(host.facts()))
        elif event == "crash":
            host.crash()
        elif event == "reboot":
            host.container = C.ABSENT
            host.crash()
        elif event == "exit" and host.container is C.RUNNING:
            host.container = C.EXITED
        elif event == "start" and host.goal is Goal.CREATE:
            host.goal = Goal.RUN
        elif event == "stale" and host.goal is Goal.RUN:
            host.goal = Goal.CREATE
        elif event == "stop" and host.goal in (Goal.RUN, Goal.CREATE):
            host.goal = Goal.STOP
        elif event == "gone":
            host.goal = Goal.REMOVED
        assert host.journal >= before
        assert not (is_terminal(before) and host.journal != before)
        assert host.root or not had_root
        assert host.runs == runs or not is_terminal(before)
    host.goal = Goal.REMOVED
    for _ in range(10):
        if not host.forgotten:
            host.act(next_action(host.facts()))
    assert host.forgotten and host.container is C.ABSENT


@given(st.integers(0, 20), st.integers(0, 3))
def test_a_created_container_is_started_only_when_it_is_to_run(steps: int, crashes: int) -> None:
    host = Host(Goal.CREATE)
    for step in range(steps + crashes):
        if step % 5 < crashes:
            host.crash()
        host.act(next_action(host.facts()))
    assert host.runs == 0 and not host.connected
    host.goal = Goal.RUN
    for _ in range(8):
        host.act(next_action(host.facts()))
    assert host.runs == 1 and host.state == S.RUNNING


FACTS = st.builds(
    TaskFacts,
    st.sampled_from(Goal),
    st.sampled_from([0, *S.values()]),
    st.sampled_from(Container),
    made=st.booleans(),
    connected=st.booleans(),
)


@given(FACTS)
def test_an_ended_task_never_starts_and_an_unwanted_one_never_does(facts: TaskFacts) -> None:
    action = next_action(facts)
    if is_terminal(facts.state) or facts.goal in (Goal.STOP, Goal.REMOVED):
        assert action not in (A.MAKE, A.REPORT_READY, A.CONNECT, A.START, A.REPORT_RUNNING)
    if facts.goal is Goal.CREATE:
        assert action not in (A.CONNECT, A.START)
