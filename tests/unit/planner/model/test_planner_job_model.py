"""Jobs against a simulated cluster: nodes that die and return with late news, users who change their minds, leaders
that change between any two commits. Each slot is done once, each due time runs once, and never more run than may.
"""

import os
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from manager.planner.spec.cron import next_due_ms
from manager.planner.spec.running_template import running_part
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import GlobalJob, JobRun, ReplicatedJob, RestartPolicy, Schedule, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_terminal, should_run
from tests.fakes.planner_world import World
from tests.unit.planner.model.model_counts import COUNTED

NODES = ["h1", "h2", "h3"]
JOB = "job"
nodes = st.sampled_from(NODES)
schedules = st.builds(
    Schedule,
    cron=st.sampled_from(["* * * * *", "*/5 * * * *"]),
    timezone=st.sampled_from(["", "Europe/Berlin"]),
    overlap=st.sampled_from([0, Schedule.FORBID, Schedule.ALLOW, Schedule.REPLACE]),
    missed=st.sampled_from([0, Schedule.SKIP, Schedule.RUN_ONCE]),
    history=st.sampled_from([None, 0, 1, 2]),
)


@st.composite
def jobs(draw: st.DrawFn, *, everywhere: bool, scheduled: bool) -> ServiceSpec:
    spec = ServiceSpec()
    spec.task.container.image = draw(st.sampled_from(["a:1", "a:2"]))
    spec.task.restart.CopyFrom(
        RestartPolicy(
            condition=draw(st.sampled_from([RestartPolicy.NONE, RestartPolicy.ON_FAILURE])),
            delay_ms=draw(st.sampled_from([None, 0])),
            max_attempts=draw(st.sampled_from([0, 0, 2])),
        )
    )
    if everywhere:
        spec.global_job.CopyFrom(GlobalJob())
    else:
        total, at_once = draw(st.integers(0, 6)), draw(st.integers(0, 3))
        spec.replicated_job.CopyFrom(ReplicatedJob(total_completions=total, max_concurrent=at_once))
    if scheduled:
        spec.schedule.CopyFrom(draw(schedules))
    return spec


class Batch(RuleBasedStateMachine):
    """What happens to one job, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.dues: dict[int, int] = {}
        self.done: set[tuple[int, int | str]] = set()
        self.seen: set[str] = set()
        self.plans_counted = 0
        COUNTED["clusters"] += 1

    @initialize(data=st.data(), everywhere=st.booleans(), scheduled=st.booleans())
    def found(self, data: st.DataObject, everywhere: bool, scheduled: bool) -> None:
        self.kind = {"everywhere": everywhere, "scheduled": scheduled}
        for name in NODES:
            self.world.node(name)
        self.world.service(JOB, data.draw(jobs(**self.kind)))

    @rule(data=st.data())
    def deploy(self, data: st.DataObject) -> None:
        self.world.service(JOB, data.draw(jobs(**self.kind)))

    @rule()
    def force(self) -> None:
        spec = ServiceSpec()
        spec.CopyFrom(self.world.tables.services[JOB].spec)
        spec.task.force_update += 1
        self.world.service(JOB, spec)

    @rule(name=nodes, state=st.sampled_from([NodeStatus.READY, NodeStatus.READY, NodeStatus.DOWN]))
    def turn(self, name: str, state: NodeStatus.State.ValueType) -> None:
        self.world.set_state(name, state)

    @rule(name=nodes, availability=st.sampled_from([NodeSpec.ACTIVE, NodeSpec.PAUSE, NodeSpec.DRAIN]))
    def set_availability(self, name: str, availability: NodeSpec.Availability.ValueType) -> None:
        self.world.set_availability(name, availability)

    @rule(data=st.data(), skew_ms=st.sampled_from([0, 0, -100_000, 100_000]))
    def report(self, data: st.DataObject, skew_ms: int) -> None:
        live = [task for task in self.world.tasks(JOB) if task.node_id and not is_terminal(self.world.state(task))]
        tasks = [task for task in live if self._is_up(task)]
        if not tasks:
            return
        for task in data.draw(st.lists(st.sampled_from(tasks), max_size=5, unique_by=lambda task: task.id)):
            ends = [TaskState.RUNNING, TaskState.COMPLETE, TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED]
            stops = [TaskState.SHUTDOWN, TaskState.COMPLETE, TaskState.FAILED]
            state = data.draw(st.sampled_from(ends if should_run(task) else stops))
            self.world.report(task, state, at_ms=self.world.now_ms + skew_ms)

    def _is_up(self, task: Task) -> bool:
        return self.world.tables.node_status[task.node_id].state == NodeStatus.READY

    @rule(milliseconds=st.sampled_from([100, 5_000, 60_000, 60_000, 300_000, 5_000_000]))
    def wait(self, milliseconds: int) -> None:
        self.world.now_ms += milliseconds

    @rule(cut=st.one_of(st.none(), st.none(), st.integers(0, 8)))
    def plan(self, cut: int | None) -> None:
        self._remember()
        self.world.plan(cut=cut)
        self._check_new()

    def _remember(self) -> None:
        self.seen = {task.id for task in self.world.tasks(JOB)}
        self.done = {
            (task.job_run, task.slot or task.node_id)
            for task in self.world.tasks(JOB)
            if self.world.state(task) == TaskState.COMPLETE and task.desired_state < TaskState.REMOVE
        }

    def _check_new(self) -> None:
        """What is done is not begun again, tasks are of runs that are in the book, and run what their run says."""
        book = {run.number: run for run in self._runs()}
        for task in self.world.tasks(JOB):
            if task.id not in self.seen:
                assert (task.job_run, task.slot or task.node_id) not in self.done
                assert book[task.job_run].revision == task.revision

    def _runs(self) -> list[JobRun]:
        status = self.world.tables.service_status.get(JOB)
        return list(status.runs) if status is not None else []

    @rule()
    def finish(self) -> None:
        """With all nodes well and tasks that do their work, every run ends, and so does a job without a schedule."""
        for name in NODES:
            self.world.set_state(name, NodeStatus.READY)
            self.world.set_availability(name, NodeSpec.ACTIVE)
        for _ in range(200):
            self.world.plan()
            if not self._do_the_work() and not self.world.plan().writes:
                due = self.world.planner.next_due_ms()
                if self._is_over() or due is None:
                    break
                self.world.now_ms = max(due, self.world.now_ms)
        assert self._is_over(), self._runs()
        self._check_the_newest()

    def _do_the_work(self) -> bool:
        busy = False
        for task in self.world.tasks(JOB):
            if task.node_id and not is_terminal(self.world.state(task)):
                self.world.report(task, TaskState.COMPLETE if should_run(task) else TaskState.SHUTDOWN)
                busy = True
        return busy

    def _is_over(self) -> bool:
        runs = self._runs()
        return (bool(runs) or self.kind["scheduled"]) and all(run.state != JobRun.RUNNING for run in runs)

    def _check_the_newest(self) -> None:
        tables = self.world.tables
        if self.kind["scheduled"]:
            return
        spec, run = tables.services[JOB].spec, self._runs()[-1]
        assert running_part(tables.revisions[f"{JOB}/{run.revision}"].spec) == running_part(spec)
        requested = len(NODES) if self.kind["everywhere"] else spec.replicated_job.total_completions or 1
        assert run.desired == requested
        slots = Counter(
            task.slot or task.node_id
            for task in self.world.tasks(JOB)
            if task.job_run == run.number and self.world.state(task) == TaskState.COMPLETE
        )
        assert len(slots) == run.completed
        assert (run.completed == requested) == (run.state == JobRun.SUCCEEDED)

    @invariant()
    def count(self) -> None:
        COUNTED["steps"] += 1
        COUNTED["passes"] += self.world.plans - self.plans_counted
        self.plans_counted = self.world.plans

    @invariant()
    def each_due_time_has_one_run(self) -> None:
        for run in self._runs():
            if run.scheduled_at_ms:
                assert self.dues.setdefault(run.scheduled_at_ms, run.number) == run.number
                assert any(
                    next_due_ms(cron, "", run.scheduled_at_ms - 1) == run.scheduled_at_ms
                    for cron in ("* * * * *", "*/5 * * * *")
                )
        numbers = [run.number for run in self._runs()]
        assert numbers == sorted(set(numbers))

    @invariant()
    def never_more_at_once_than_may(self) -> None:
        tables = self.world.tables
        if JOB not in tables.services or self.kind["everywhere"]:
            return
        most = max(
            revision.spec.replicated_job.max_concurrent or revision.spec.replicated_job.total_completions or 1
            for revision in tables.revisions.values()
        )
        active = Counter(task.job_run for task in self.world.desired(JOB))
        assert max(active.values(), default=0) <= most


EXAMPLES, STEPS = (2_000, 80) if os.environ.get("HYPOTHESIS_PROFILE") == "random" else (60, 40)
TestBatch = Batch.TestCase
TestBatch.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
