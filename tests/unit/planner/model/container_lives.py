"""Containers of a simulated cluster, their root file systems on its nodes, and what each pass of the planner may do."""

from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from manager.dispatcher.assignments.kept_containers import KeptContainers, kept_nodes
from manager.planner.draft import Draft
from manager.planner.orchestrator.container_pass import decide_container
from manager.planner.orchestrator.container_state import is_settled
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition, ContainerRestart, Reschedule
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import should_run
from tests.fakes.container_world import ContainerWorld, definition
from tests.unit.planner.model.model_counts import COUNTED

NODES = ["h1", "h2", "h3"]
NAMES = ["db", "web", "app"]


@st.composite
def definitions(draw: st.DrawFn) -> ContainerDefinition:
    condition = draw(st.sampled_from(ContainerRestart.Condition.values()))
    made = definition(
        restart=ContainerRestart(condition=condition, max_attempts=draw(st.sampled_from([0, 0, 2]))),
        reschedule=draw(st.sampled_from([Reschedule.STAY, Reschedule.STAY, Reschedule.ON_NODE_FAILURE])),
        node_id=draw(st.sampled_from(["", "", "", "h1", "h2"])),
    )
    made.auto_remove = condition <= ContainerRestart.NO and draw(st.booleans())
    if draw(st.booleans()):
        made.ports.append(PublishedPort(target=80, published=draw(st.sampled_from([0, 8080]))))
    if draw(st.booleans()):
        made.task.networks.append(NetworkAttachment(network="front"))
    made.task.reservations.memory_bytes = draw(st.sampled_from([0, 0, 1 << 29]))
    return made


class SimulatedContainers(RuleBasedStateMachine):
    """The cluster; a test adds what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = ContainerWorld()
        self.roots: dict[str, set[str]] = {name: set() for name in NODES}
        """Containers whose root file system is on the node's disk."""
        self.made: set[str] = set()
        """Containers that had one."""
        self.homes: dict[str, str] = {}
        self.removed: set[str] = set()
        self.seen: dict[str, Task] = {}
        self.begun: set[tuple[str, int, int, str]] = set()
        self.kept = KeptContainers(self.world.tables)
        COUNTED["clusters"] += 1

    def _containers(self) -> list[str]:
        return sorted(each for each, row in self.world.tables.containers.items() if not row.removing)

    def work(self) -> None:
        """Agents do what they are to do."""
        self.world.obey()
        self._make_and_delete_roots()

    @rule()
    def proceed(self) -> None:
        """Planner and agents do what there is to do, so that longer stories come about."""
        self.pass_once(None)
        self.work()
        due = self.world.planner.next_due_ms()
        if due is not None and due < self.world.now_ms + 120_000:
            self.world.now_ms = max(due, self.world.now_ms)
        self.pass_once(None)
        self.work()

    def pass_once(self, cut: int | None) -> None:
        """Plan, and check what that does."""
        self.seen = dict(self.world.tables.tasks)
        before = {each: self.world.newest(each) for each in self.world.tables.containers}
        self._check_settled_ones()
        statuses = dict(self.world.tables.task_status)
        finished = {each: self.world.status(each).finished_run for each in self.world.tables.containers}
        self.world.plan(cut=cut)
        for task in self.world.tables.tasks.values():
            if task.id not in self.seen:
                assert task.job_run != finished[task.container_id] or not task.job_run, "it had ended for good"
                self._check_new(task, before[task.container_id], statuses)
            elif task.desired_state > self.seen[task.id].desired_state:
                self._check_stopped(task)

    def _check_settled_ones(self) -> None:
        """A container that is passed over would not have been changed."""
        world = self.world
        resources, slots = world.planner.resources, world.planner.slot_index
        for container in world.tables.containers.values():
            with resources.tentative():
                draft = Draft(
                    view=world.tables, resources=resources, slot_index=slots, now_ms=world.now_ms, new_id=lambda: "new"
                )
                if is_settled(draft, container):
                    COUNTED["containers passed over"] += 1
                    decide_container(draft, container)
                    assert not draft.writes()
                    assert not draft.timers

    def _check_stopped(self, task: Task) -> None:
        """What its user has not stopped is stopped for a node that is lost only."""
        COUNTED["containers stopped"] += 1
        status = self.world.tables.node_status.get(task.node_id)
        if task.reason.endswith(" is down"):
            assert status is None or status.state == NodeStatus.DOWN

    def _check_new(self, task: Task, before: Task | None, statuses: Mapping[str, TaskStatus]) -> None:
        """A new task is wanted, on a node that can be reached, and never follows what its user has stopped."""
        container = self.world.container(task.container_id)
        status = self.world.tables.node_status[task.node_id]
        assert status.state != NodeStatus.DOWN
        assert container.desired != Container.STOPPED
        assert not container.removing
        assert (task.desired_state == TaskState.READY) == (container.desired == Container.CREATED)
        if before is None or before.job_run != task.job_run or task.desired_state == TaskState.READY:
            return
        moved = before.node_id != task.node_id or not should_run(before)
        assert moved or not container.held
        assert moved or task.attempt == before.attempt + 1
        assert moved or container.definition.restart.condition > ContainerRestart.NO
        assert moved or before.id in statuses

    def _make_and_delete_roots(self) -> None:
        """Agents make root file systems with the first state that needs one, and delete those that are not kept."""
        for task in self.world.tables.tasks.values():
            if self.world.is_reachable(task) and self.world.state(task) >= TaskState.READY:
                self.roots[task.node_id].add(task.container_id)
                self.made.add(task.container_id)
        for name, roots in self.roots.items():
            status = self.world.tables.node_status.get(name)
            if status is None or status.state != NodeStatus.READY:
                continue
            assigned = {task.container_id for task in self.world.tables.tasks_on(name).values()}
            kept = {each for each in self.world.tables.containers if name in kept_nodes(self.world.tables, each)}
            roots &= kept | assigned
