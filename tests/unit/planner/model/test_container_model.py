"""Containers of one's own against a simulated cluster: whatever their users, their programs, agents and nodes do, and
in whatever order, a container is on one node, its root file system stays until it is removed, its name is its own, and
nothing is left of it afterwards.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from manager.containers import container_records
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition, Reschedule
from shoal.api.v1.task_pb2 import TaskState
from shoal.networks.published_ports import MESH_NETWORK
from shoal.task_states import is_terminal, should_run
from tests.unit.planner.model.container_lives import NAMES, NODES, SimulatedContainers, definitions
from tests.unit.planner.model.model_counts import COUNTED

ENDS = [TaskState.COMPLETE, TaskState.FAILED, TaskState.FAILED, TaskState.REJECTED]
COMMANDS = ["start", "start", "start", "short", "stop", "restart", "kill", "remove"]
nodes = st.sampled_from(NODES)
_STATES = {"up": NodeStatus.READY, "down": NodeStatus.DOWN, "unknown": NodeStatus.UNKNOWN}


class Lives(SimulatedContainers):
    """What happens to some containers, in any order."""

    @initialize(made=st.lists(definitions(), min_size=2, max_size=2))
    def found(self, made: list[ContainerDefinition]) -> None:
        for name in NODES:
            self.world.node(name)
        self.world.network(MESH_NETWORK)
        self.world.network("front")
        for name, each in zip(NAMES, made, strict=False):
            self.world.create(name, each)
        self.proceed()
        for identifier in self._containers():
            self.world.start(identifier)
        self.proceed()

    def _draw(self, data: st.DataObject) -> str:
        found = self._containers()
        return data.draw(st.sampled_from(found)) if found else ""

    # Users.

    @rule(name=st.sampled_from(NAMES), made=definitions(), starts=st.booleans())
    def create(self, name: str, made: ContainerDefinition, starts: bool) -> None:
        if f"container/{name}" not in self.world.tables.names:
            self.world.create(name, made, starts=starts)

    @rule(data=st.data(), what=st.sampled_from(COMMANDS))
    def command(self, data: st.DataObject, what: str) -> None:
        """`short`: a start whose caller waits for some seconds only."""
        if not (chosen := self._draw(data)):
            return
        if what == "short":
            self.world.start(chosen, self.world.now_ms + 5_000)
            return
        getattr(self.world, what)(chosen)
        if what == "remove":
            self.removed.add(chosen)

    @rule(data=st.data())
    def withdraw_start(self, data: st.DataObject) -> None:
        """The call that started it is told that it was refused, and takes it back."""
        if (chosen := self._draw(data)) and self.world.status(chosen).refused_run == self.world.container(chosen).run:
            before = Container(desired=Container.STOPPED if self.world.newest(chosen) else Container.CREATED)
            change = lambda each: container_records.start_withdrawn(each, before, self.world.now_ms)  # noqa: E731
            self.world.change(chosen, change)

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def rename(self, data: st.DataObject, name: str) -> None:
        if (chosen := self._draw(data)) and f"container/{name}" not in self.world.tables.names:
            self.world.change(chosen, lambda each: container_records.renamed(each, name, self.world.now_ms))

    @rule(data=st.data(), made=definitions())
    def update(self, data: st.DataObject, made: ContainerDefinition) -> None:
        """Limits, restart policy and networks; the rest cannot be changed."""
        if not (chosen := self._draw(data)):
            return
        changed = ContainerDefinition()
        changed.CopyFrom(self.world.container(chosen).definition)
        if not changed.auto_remove:
            changed.restart.CopyFrom(made.restart)
        changed.task.limits.memory_bytes = 1 << 28
        del changed.task.networks[:]
        changed.task.networks.extend(made.task.networks)
        self.world.change(chosen, lambda each: container_records.redefined(each, changed, self.world.now_ms))

    # Programs, agents and nodes.

    @rule(data=st.data(), state=st.sampled_from(ENDS), proceed=st.booleans())
    def end(self, data: st.DataObject, state: TaskState.ValueType, proceed: bool) -> None:
        """A program ends, or cannot be run."""
        tasks = [each for each in self.world.tables.tasks.values() if self.world.is_reachable(each)]
        tasks = sorted((each for each in tasks if not is_terminal(self.world.state(each))), key=lambda each: each.id)
        if not tasks:
            return
        task = data.draw(st.sampled_from(tasks))
        ran = self.world.state(task) >= TaskState.RUNNING
        self.world.report(task, state if ran else TaskState.REJECTED)
        if proceed:
            self.proceed()

    @rule()
    def obey(self) -> None:
        self.work()

    @rule(name=nodes, what=st.sampled_from(["up", "down", "down", "unknown", "reboot", "remove", "drain", "activate"]))
    def happen(self, name: str, what: str) -> None:
        """Something becomes of a node. A removed one never comes back: a host that joins again has another id."""
        if name not in self.world.tables.nodes:
            return
        if what in _STATES:
            self.world.set_state(name, _STATES[what])
        elif what == "reboot":
            self._reboot(name)
        elif what == "remove":
            is_down = self.world.tables.node_status[name].state == NodeStatus.DOWN
            if is_down and len(self.world.tables.nodes) > 1:
                self.world.remove_node(name)
                self.roots[name] = set()
        else:
            self.world.set_availability(name, NodeSpec.DRAIN if what == "drain" else NodeSpec.ACTIVE)

    def _reboot(self, name: str) -> None:
        """The host is started again: nothing runs any more, and all files are there."""
        self.world.set_state(name, NodeStatus.DOWN)
        self.world.plan()
        self.world.set_state(name, NodeStatus.READY)
        for task in [*self.world.tables.tasks_on(name).values()]:
            if self.world.state(task) == TaskState.RUNNING:
                self.world.report(task, TaskState.FAILED, message="the host was restarted")

    @rule(milliseconds=st.sampled_from([1, 100, 5_000, 12_000, 60_000, 90_000_000]))
    def wait(self, milliseconds: int) -> None:
        self.world.now_ms += milliseconds

    @rule(cut=st.one_of(st.none(), st.none(), st.integers(0, 3)))
    def plan(self, cut: int | None) -> None:
        self.pass_once(cut)

    @rule()
    def collect(self) -> None:
        live = {each: self.world.live_tasks(each) for each in self.world.tables.containers}
        self.world.collect()
        for identifier in live.keys() - self.world.tables.containers.keys():
            assert not live[identifier], "it was deleted before its end was confirmed"
            COUNTED["containers collected"] += 1

    # What has to hold.

    @invariant()
    def count(self) -> None:
        COUNTED["steps"] += 1

    @invariant()
    def each_is_on_one_node(self) -> None:
        for identifier, container in self.world.tables.containers.items():
            desired = [task for task in self.world.live_tasks(identifier) if should_run(task)]
            assert len(desired) <= 1
            reachable = [task for task in self.world.runs(identifier) if self.world.is_reachable(task)]
            stays = container.definition.reschedule != Reschedule.ON_NODE_FAILURE
            assert len({task.node_id for task in reachable}) <= 1 or not stays
            home = self.world.status(identifier).node_id
            if home and stays:
                assert self.homes.setdefault(identifier, home) == home

    @invariant()
    def roots_stay_until_removal(self) -> None:
        for identifier in self.made & self.world.tables.containers.keys():
            home = self.world.status(identifier).node_id
            stays = self.world.container(identifier).definition.reschedule != Reschedule.ON_NODE_FAILURE
            if stays and home and home in self.world.tables.nodes:
                assert identifier in self.roots[home]

    @invariant()
    def names_are_their_own(self) -> None:
        tables = self.world.tables
        rows = {f"container/{row.name}": identifier for identifier, row in tables.containers.items()}
        assert len(rows) == len(tables.containers)
        names = {key: name.meta.id for key, name in tables.names.items() if key.startswith("container/")}
        assert names == rows
        for row in tables.containers.values():
            assert tables.container_named(row.name) == row

    @invariant()
    def tasks_have_owners_and_nodes(self) -> None:
        for task in self.world.tables.tasks.values():
            assert task.node_id
            assert task.container_id == task.service_id
            ports = [each.published for each in self.world.status(task.service_id).mesh_ports]
            assert len(ports) == len(set(ports))

    @rule()
    def finish(self) -> None:
        """With all nodes well: what is to run runs or says why not, and nothing is left of what was removed."""
        for name in [*self.world.tables.nodes]:
            self.world.set_state(name, NodeStatus.READY)
            self.world.set_availability(name, NodeSpec.ACTIVE)
        for _ in range(3):
            self.world.settle()
            self.world.collect()
            self._make_and_delete_roots()
        self.world.settle()
        tables = self.world.tables
        for identifier in self.removed:
            assert identifier not in tables.containers
            assert not tables.tasks_of(identifier)
            assert identifier not in tables.service_status
            assert not any(key.startswith(f"{identifier}/") for key in tables.revisions)
            assert not any(identifier in roots for roots in self.roots.values())
        assert tables.task_status.keys() <= tables.tasks.keys()
        for identifier, container in tables.containers.items():
            self._check_settled(identifier, container)

    def _check_settled(self, identifier: str, container: Container) -> None:
        status, runs = self.world.status(identifier), self.world.runs(identifier)
        COUNTED["containers settled"] += 1
        assert all(task.revision == container.revision for task in runs)
        assert len(self.world.tables.tasks_of(identifier)) <= 1
        if container.desired != Container.RUNNING:
            assert not runs
        elif not runs:
            assert status.problems or status.finished_run == container.run
        else:
            assert [task.job_run for task in runs] == [container.run]
            assert bool(status.mesh_ports) == bool(container.definition.ports)
            networks = {each.network for each in container.definition.task.networks}
            mesh = {MESH_NETWORK} if container.definition.ports else set()
            assert {each.network_id for each in runs[0].addresses} == networks | mesh


EXAMPLES, STEPS = (2_000, 80) if os.environ.get("HYPOTHESIS_PROFILE") == "random" else (60, 40)
TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
