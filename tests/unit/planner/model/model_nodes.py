"""Nodes, agents and leaders of a simulated cluster, in any order."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from manager.store import kinds
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.task_states import should_run
from tests.unit.planner.model.model_promises import CheckedCluster
from tests.unit.planner.model.model_specs import (
    DEVICES,
    GENERIC,
    MIB,
    NODES,
    SERVICES,
)

services = st.sampled_from(SERVICES)
nodes = st.sampled_from(NODES)


class ClusterOfNodes(CheckedCluster):
    """What happens without a user."""

    # Nodes.

    @rule(name=nodes)
    def add_node(self, name: str) -> None:
        if name not in self.world.tables.nodes:
            zone = "ab"[NODES.index(name) % 2]
            platform = "linux/arm64" if name == "h5" else "linux/amd64"
            beside = "m1" if name in ("h1", "h4") else ""
            labels = {"zone": zone}
            self.world.node(name, memory=1000 * MIB, labels=labels, generic=GENERIC, platform=platform, beside=beside)

    @rule(name=nodes, address=st.sampled_from(["", "127.0.0.1", None, None]))
    def a_program_takes_the_port_or_ends(self, name: str, address: str | None) -> None:
        if name in self.world.tables.nodes:
            self.world.stop_listeners(name) if address is None else self.world.listen(
                name, 8080, "nginx", address=address
            )

    @rule(name=nodes, devices=st.lists(st.sampled_from(DEVICES), unique=True))
    def plug(self, name: str, devices: list[str]) -> None:
        """Until now its agent may not have reported devices."""
        if name in self.world.tables.nodes:
            self.world.set_devices(name, *devices)

    @rule(name=nodes, zone=st.sampled_from("ab"))
    def relabel(self, name: str, zone: str) -> None:
        if name in self.world.tables.nodes:
            self.world.relabel(name, zone=zone)

    @rule(name=nodes)
    def die(self, name: str) -> None:
        if name in self.world.tables.nodes:
            self.world.set_state(name, NodeStatus.DOWN)

    @rule(name=services, milliseconds=st.sampled_from([1_000, 70_000]))
    def lose_a_node_of(self, name: str, milliseconds: int) -> None:
        """A node that runs a task of the service is lost while everything else is well."""
        self._go_on(2)
        places = sorted(task.node_id for task in self.world.running(self.ids.get(name, "")))
        if places:
            self.die(places[0])
            self.plan(None)
            self.world.now_ms += milliseconds
            self._go_on(2)

    @rule(name=nodes)
    def come_back(self, name: str) -> None:
        if name in self.world.tables.nodes:
            self.world.set_state(name, NodeStatus.READY)

    @rule(name=nodes)
    def remove_node(self, name: str) -> None:
        status = self.world.tables.node_status.get(name)
        if status is not None and status.state == NodeStatus.DOWN:
            self.world.put(kinds.NODE, name, None)
            self.world.put(kinds.NODE_STATUS, name, None)

    # Agents.

    @rule(data=st.data(), skew_ms=st.sampled_from([0, 0, 0, -100_000, 100_000]))
    def report(self, data: st.DataObject, skew_ms: int) -> None:
        """Some tasks go on, or fail; those on nodes that are down report late, if ever."""
        tasks = sorted(
            (task for task in self.world.tables.tasks.values() if task.node_id and self._is_up(task)),
            key=lambda task: task.id,
        )
        if not tasks:
            return
        for task in data.draw(st.lists(st.sampled_from(tasks), max_size=6, unique_by=lambda task: task.id)):
            ahead = [TaskState.STARTING, TaskState.RUNNING, TaskState.RUNNING, TaskState.FAILED, TaskState.REJECTED]
            ahead.append(TaskState.COMPLETE)
            stopped = [TaskState.SHUTDOWN, TaskState.FAILED]
            state = data.draw(st.sampled_from(ahead if should_run(task) else stopped))
            health = TaskStatus.NONE
            if state == TaskState.RUNNING and self.world.is_checked(task):
                health = data.draw(st.sampled_from([TaskStatus.STARTING, TaskStatus.HEALTHY, TaskStatus.UNHEALTHY]))
            self.world.report(task, state, at_ms=self.world.now_ms + skew_ms, health=health)
            if skew_ms:
                self.proofs.odd.add(task.id)

    @rule()
    def obey(self) -> None:
        self.world.obey()

    @rule(milliseconds=st.sampled_from([100, 1_000, 5_000, 60_000, 25 * 3_600_000]))
    def wait(self, milliseconds: int) -> None:
        self.world.now_ms += milliseconds

    # The leader.

    @rule()
    def plan_twice(self) -> None:
        """Twice with agents that obey in between: so services come to run in spite of all."""
        self.plan(None)
        self.world.obey()
        self.plan(None)

    @rule(cut=st.one_of(st.none(), st.none(), st.integers(0, 12)))
    def plan_partly(self, cut: int | None) -> None:
        self.plan(cut)
