"""The planner against a simulated cluster: nodes that die, return and lie, users who change their minds, leaders that
change between any two commits. `World.plan` checks that passes are repeatable and that incremental equals full.
"""

import os
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manager.planner.constraints import fact, parse
from manager.planner.effective import current_update, effective, replicas_of
from manager.planner.template import Wanted
from manager.store import kinds
from shoal.api.v1.control_pb2 import SteerUpdateRequest
from shoal.api.v1.meta_pb2 import GenericResource, Platform, Resources
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    Affinity,
    Autoscale,
    AutoscaleStatus,
    Endpoint,
    Global,
    NetworkAttachment,
    Placement,
    Preference,
    PublishedPort,
    Replicated,
    RestartPolicy,
    Service,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_ready, is_terminal, is_wanted
from tests.fakes.planner_world import World

MIB = 1 << 20
STEER = SteerUpdateRequest
NODES = [f"h{number}" for number in range(1, 6)]
SERVICES = ["api", "db", "web"]
NETWORKS = ["back", "front"]

services = st.sampled_from(SERVICES)
nodes = st.sampled_from(NODES)


@st.composite
def specs(draw: st.DrawFn) -> ServiceSpec:
    """A small service with a few of everything."""
    spec = ServiceSpec(task=TaskTemplate())
    if draw(st.integers(0, 3)):
        spec.replicated.CopyFrom(Replicated(replicas=draw(st.integers(0, 7))))
        if not draw(st.integers(0, 3)):
            spec.autoscale.CopyFrom(Autoscale(min_replicas=1, max_replicas=draw(st.integers(1, 8)), cpu_percent=50))
    else:
        getattr(spec, "global").CopyFrom(Global())
    spec.task.container.image = draw(st.sampled_from(["a:1", "a:2", "a:3"]))
    spec.task.reservations.CopyFrom(Resources(memory_bytes=draw(st.sampled_from([0, 0, 100, 300])) * MIB))
    if (gpus := draw(st.sampled_from([0, 0, 1, 2]))) > 0:
        spec.task.reservations.generic.append(GenericResource(kind=draw(st.sampled_from(["gpu", "seat"])), count=gpus))
    spec.priority = draw(st.sampled_from([0, 0, 0, -5, 10]))
    for network in draw(st.sets(st.sampled_from(NETWORKS))):
        spec.task.networks.append(NetworkAttachment(network=network))
    spec.task.restart.CopyFrom(draw(restarts))
    spec.task.placement.CopyFrom(draw(placements))
    spec.update.CopyFrom(draw(updates))
    if (rollback := draw(rollbacks)) is not None:
        spec.rollback.CopyFrom(rollback)
    spec.endpoint.CopyFrom(Endpoint(ports=draw(st.sampled_from(PORTS))))
    return spec


GENERIC = [GenericResource(kind="gpu", names=["GPU-1", "GPU-2", "GPU-3"]), GenericResource(kind="seat", count=2)]
PREFERENCES = [Preference(spread="node.labels.zone", weight=50), Preference(binpack="memory", weight=30)]
affinities = st.builds(
    Affinity,
    service=st.sampled_from([f"{name}1" for name in SERVICES]),
    anti=st.booleans(),
    weight=st.sampled_from([0, 0, 50]),
    over=st.sampled_from(["", "node.labels.zone"]),
)
PORTS: list[list[PublishedPort]] = [
    [],
    [],
    [PublishedPort(target=80, mode=PublishedPort.HOST)],
    [PublishedPort(target=80, published=8080, mode=PublishedPort.HOST)],
    [PublishedPort(target=80, published=8080, mode=PublishedPort.HOST, host_address="127.0.0.1")],
    [PublishedPort(target=80, published_first=8080, published_last=8081, mode=PublishedPort.HOST)],
]
restarts = st.builds(
    RestartPolicy,
    condition=st.sampled_from([0, RestartPolicy.NONE, RestartPolicy.ON_FAILURE, RestartPolicy.ANY]),
    delay_ms=st.sampled_from([None, 0, 1_000]),
    max_attempts=st.sampled_from([0, 0, 2]),
    window_ms=st.sampled_from([0, 60_000]),
)
placements = st.builds(
    Placement,
    constraints=st.lists(
        st.sampled_from(
            ["node.labels.zone == a", "node.hostname != h2", "node.hostname =~ h[1-3]", "node.id in h1, h4"]
        ),
        max_size=1,
    ),
    preferences=st.sampled_from([[], [], [Preference(binpack="load")], PREFERENCES]),
    affinities=st.lists(affinities, max_size=1),
    platforms=st.sampled_from([[], [], [Platform(os="linux", architecture="amd64")]]),
    spread=st.sampled_from([[], ["node.labels.zone"]]),
    max_per_node=st.sampled_from([0, 0, 1, 2]),
)
updates = st.builds(
    UpdateConfig,
    parallelism=st.integers(0, 3),
    delay_ms=st.sampled_from([0, 0, 5_000]),
    order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
    monitor_ms=st.sampled_from([None, 0, 0, 5_000]),
    failure_action=st.sampled_from([0, UpdateConfig.ROLLBACK, UpdateConfig.PAUSE, UpdateConfig.CONTINUE]),
    max_failure_ratio=st.sampled_from([0.0, 0.0, 0.5]),
    progress_deadline_ms=st.sampled_from([None, 60_000]),
    canary=st.sampled_from([0, 0, 0, 1, 2]),
    auto_promote=st.booleans(),
)
rollbacks = st.one_of(
    st.none(),
    st.builds(
        UpdateConfig,
        parallelism=st.integers(0, 2),
        failure_action=st.sampled_from([UpdateConfig.PAUSE, UpdateConfig.CONTINUE]),
        order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
    ),
)


class Cluster(RuleBasedStateMachine):
    """What happens to a cluster, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.ids: dict[str, str] = {}
        self.made = 0
        self.places: dict[str, str] = {}
        self.desires: dict[str, int] = {}
        self.in_force: dict[str, Service] = {}

    @initialize()
    def found(self) -> None:
        for name in NETWORKS:
            self.world.network(name, "10.7.0.0/28" if name == "back" else "")
        for name in NODES[:3]:
            self.add_node(name)

    # The user.

    @rule(name=services, spec=specs())
    def deploy(self, name: str, spec: ServiceSpec) -> None:
        identifier = self._id(name)
        old = self.world.tables.services.get(identifier)
        if old is not None and old.spec.WhichOneof("mode") != spec.WhichOneof("mode"):
            spec.ClearField(spec.WhichOneof("mode") or "global")
            if old.spec.HasField("replicated"):
                spec.replicated.CopyFrom(old.spec.replicated)
            else:
                getattr(spec, "global").CopyFrom(Global())
        self.world.service(identifier, spec)

    def _id(self, name: str) -> str:
        """As with real ids, one that is gone does not come back."""
        if name not in self.ids:
            self.made += 1
            self.ids[name] = f"{name}{self.made}"
        return self.ids[name]

    @rule(name=services, replicas=st.integers(0, 9))
    def autoscale(self, name: str, replicas: int) -> None:
        """The autoscaler has a number, of this service or of an earlier one of this name."""
        if name in self.ids:
            status = AutoscaleStatus(service_id=self.ids[name], replicas=replicas)
            self.world.put(kinds.AUTOSCALE, self.ids[name], status)

    @rule(name=services, replicas=st.integers(0, 9))
    def scale(self, name: str, replicas: int) -> None:
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None and service.spec.HasField("replicated"):
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            spec.replicated.replicas = replicas
            self.world.service(self.ids[name], spec)

    @rule(name=services)
    def rebalance(self, name: str) -> None:
        if self.ids.get(name, "") in self.world.tables.services:
            self.world.rebalance(self.ids[name])

    @rule(name=services, action=st.sampled_from([STEER.PAUSE, STEER.RESUME, STEER.RESUME, STEER.PROMOTE]))
    def steer(self, name: str, action: STEER.Action.ValueType) -> None:
        if self.ids.get(name, "") in self.world.tables.services:
            self.world.steer(self.ids[name], action)

    @rule(name=services)
    def remove_service(self, name: str) -> None:
        identifier = self.ids.pop(name, None)
        if identifier is not None:
            self.world.put(kinds.SERVICE, identifier, None)

    @rule(name=nodes, availability=st.sampled_from([NodeSpec.ACTIVE, NodeSpec.PAUSE, NodeSpec.DRAIN]))
    def set_availability(self, name: str, availability: NodeSpec.Availability.ValueType) -> None:
        if name in self.world.tables.nodes:
            self.world.set_availability(name, availability)

    # Nodes.

    @rule(name=nodes)
    def add_node(self, name: str) -> None:
        if name not in self.world.tables.nodes:
            zone = "ab"[NODES.index(name) % 2]
            platform = "linux/arm64" if name == "h5" else "linux/amd64"
            self.world.node(name, memory=1000 * MIB, labels={"zone": zone}, generic=GENERIC, platform=platform)

    @rule(name=nodes)
    def die(self, name: str) -> None:
        if name in self.world.tables.nodes:
            self.world.set_state(name, NodeStatus.DOWN)

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
            state = data.draw(st.sampled_from(ahead if is_wanted(task) else stopped))
            self.world.report(task, state, at_ms=self.world.now_ms + skew_ms)

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

    def plan(self, cut: int | None) -> None:
        before = dict(self.world.tables.tasks)
        self.in_force = {name: effective(self.world.tables, it) for name, it in self.world.tables.services.items()}
        self.world.plan(cut=cut)
        placed = [
            task
            for task in self.world.tables.tasks.values()
            if task.node_id and (task.id not in before or not before[task.id].node_id)
        ]
        for task in placed:
            self._check_placed(task)
            self._check_company(task)
        for task in self.world.tables.tasks.values():
            if task.reason.startswith("displaced by ") and before[task.id].reason != task.reason:
                self._check_displaced(task)
        self._check_pace(before)
        if cut is None:
            self._check_numbers()

    def _check_pace(self, before: dict[str, Task]) -> None:
        """No more of those that serve are taken away at once than the policy says."""
        tables = self.world.tables
        for name, service in tables.services.items():
            taken = [
                task
                for task in self.world.tasks(name)
                if task.desired_state > TaskState.RUNNING >= before[task.id].desired_state
                and task.reason == "replaced by an update"
                and is_ready(task, tables.task_status.get(task.id))
            ]
            served = {task.slot or task.node_id for task in self.world.running(name)}
            bare = [task for task in taken if (task.slot or task.node_id) not in served]
            limit = max(service.spec.update.parallelism, service.spec.rollback.parallelism, 1)
            assert len(bare) <= limit

    def _check_placed(self, task: Task) -> None:
        """A filter that excludes the node has been heard."""
        tables = self.world.tables
        node, status = tables.nodes[task.node_id], tables.node_status[task.node_id]
        placement = self.in_force[task.service_id].spec.task.placement
        assert status.state == NodeStatus.READY
        assert node.spec.availability in (NodeSpec.AVAILABILITY_UNSPECIFIED, NodeSpec.ACTIVE)
        assert all(parse(text).admits(node, status) for text in placement.constraints)
        assert not placement.platforms or status.description.platform in placement.platforms
        used = sum(
            tables.revisions[f"{other.service_id}/{other.revision}"].spec.task.reservations.memory_bytes
            for other in tables.tasks_on(task.node_id).values()
            if not is_terminal(self.world.state(other))
        )
        assert used <= status.description.resources.memory_bytes
        if placement.max_per_node and tables.services[task.service_id].spec.HasField("replicated"):
            assert self.world.by_node(task.service_id)[task.node_id] <= placement.max_per_node

    def _check_company(self, task: Task) -> None:
        """Hard affinities hold, from both sides."""
        tables = self.world.tables
        for name, service in tables.services.items():
            for affinity in service.spec.task.placement.affinities:
                ours, theirs = name == task.service_id, affinity.service == task.service_id
                if affinity.weight or not (ours or (theirs and affinity.anti)):
                    continue
                other = affinity.service if ours else name
                if other not in tables.services:  # what is left of it is on its way out
                    continue
                key = affinity.over or "node.id"
                near = {self._value(key, each.node_id) for each in self.world.live(other) if each.node_id}
                if ours and theirs:
                    self._check_kin(task, affinity)
                    continue
                if affinity.anti:
                    assert self._value(key, task.node_id) not in near
                else:
                    assert self._value(key, task.node_id) in near

    def _check_kin(self, task: Task, wish: Affinity) -> None:
        """The service's own tasks keep together, or apart, as it wishes."""
        if self.world.tables.services[task.service_id].spec.WhichOneof("mode") != "replicated":
            return  # the control API refuses it
        if wish not in self.in_force[task.service_id].spec.task.placement.affinities:
            return
        key = wish.over or "node.id"
        own = self._value(key, task.node_id)
        found = self.world.live(task.service_id) if wish.anti else self.world.wanted(task.service_id)
        others = [each for each in found if each.node_id and each.id != task.id and self._is_up(each)]
        active = (NodeSpec.AVAILABILITY_UNSPECIFIED, NodeSpec.ACTIVE)
        if wish.anti:
            assert own is None or own not in {self._value(key, each.node_id) for each in others}
        elif near := [each for each in others if self.world.tables.nodes[each.node_id].spec.availability in active]:
            # Those that were there before may be apart: the wish is newer than they are.
            assert own in {self._value(key, each.node_id) for each in near}

    def _value(self, key: str, node_id: str) -> str | None:
        return fact(key, self.world.tables.nodes[node_id], self.world.tables.node_status[node_id])

    def _check_displaced(self, task: Task) -> None:
        priority = int(task.reason.rpartition(" ")[2])
        assert self.world.tables.services[task.service_id].spec.priority < priority

    def _check_numbers(self) -> None:
        """Never more than wanted and the update's surplus."""
        for name, service in self.world.tables.services.items():
            update = service.spec.update
            surplus = (update.parallelism or 1) if update.order == UpdateConfig.START_FIRST else 0
            if service.spec.HasField("replicated"):
                slots = Counter(task.slot for task in self.world.wanted(name))
                assert len(slots) <= self.in_force[name].spec.replicated.replicas
                assert max(slots.values(), default=0) <= 2
                doubled = sum(number - 1 for number in slots.values())
                # A smaller surplus may have been asked for while there was a greater one: it is not taken back.
                assert doubled <= max(surplus, 3)
            else:
                assert max(self.world.by_node(name).values(), default=0) <= 2

    def _is_up(self, task: Task) -> bool:
        status = self.world.tables.node_status.get(task.node_id)
        return status is not None and status.state == NodeStatus.READY

    # What always holds.

    @invariant()
    def nothing_is_owned_twice(self) -> None:
        addresses: Counter[tuple[str, str]] = Counter()
        ports: Counter[tuple[str, int, int, str]] = Counter()
        for task in self.world.tables.tasks.values():
            if not is_terminal(self.world.state(task)):
                addresses.update((held.network_id, held.address) for held in task.addresses)
                ports.update((task.node_id, port.protocol, port.published, port.host_address) for port in task.ports)
        self._check_generic()
        assert not [address for address, owners in addresses.items() if owners > 1]
        assert not [port for port, owners in ports.items() if owners > 1]
        everywhere = {port[:3] for port in ports if not port[3]}
        assert not [port for port in ports if port[3] and port[:3] in everywhere]

    def _check_generic(self) -> None:
        names: Counter[tuple[str, str, str]] = Counter()
        seats: Counter[str] = Counter()
        for task in self.world.tables.tasks.values():
            if not is_terminal(self.world.state(task)):
                names.update((task.node_id, each.kind, name) for each in task.generic for name in each.names)
                seats.update({task.node_id: sum(each.count for each in task.generic)})
        assert max(names.values(), default=0) <= 1
        assert max(seats.values(), default=0) <= 2

    @invariant()
    def nodes_stay_and_desires_go_forward(self) -> None:
        for task in self.world.tables.tasks.values():
            if task.node_id:
                assert self.places.setdefault(task.id, task.node_id) == task.node_id
            assert task.desired_state >= self.desires.get(task.id, 0)
            self.desires[task.id] = task.desired_state

    @precondition(lambda self: self.world.plans % 4 == 3)
    @rule()
    def heal(self) -> None:
        """With all nodes well and agents that obey, everything that may run does, or says why not."""
        for name in self.world.tables.nodes:
            self.world.set_state(name, NodeStatus.READY)
            self.world.set_availability(name, NodeSpec.ACTIVE)
        self.world.settle()
        for name, service in self.world.tables.services.items():
            if service.spec.HasField("replicated"):
                self._check_converged(name, service.spec)
            self._check_update_ended(service)

    def _check_update_ended(self, service: Service) -> None:
        """With agents that answer, an update ends, and everything runs what it led to."""
        tables = self.world.tables
        update = current_update(tables, service)
        if update is None:
            return
        assert update.state not in (UpdateStatus.UPDATING, UpdateStatus.ROLLING_BACK), update
        assert bool(update.finished_at_ms) == (update.state in (UpdateStatus.COMPLETED, UpdateStatus.ROLLED_BACK))
        assert update.message or update.state in (UpdateStatus.COMPLETED, UpdateStatus.CANARY)
        if update.state in (UpdateStatus.COMPLETED, UpdateStatus.ROLLED_BACK) and "are left" not in update.message:
            wanted = Wanted(tables, effective(tables, service))
            running = self.world.running(service.meta.id)
            assert not [task for task in running if wanted.differs(task) and service.spec.HasField("replicated")]

    def _check_converged(self, name: str, spec: ServiceSpec) -> None:
        wanted, running = self.world.wanted(name), self.world.running(name)
        waiting = [task for task in wanted if not task.node_id]
        assert all(task.reason for task in waiting)
        ended = {
            task.slot
            for task in self.world.tasks(name)
            if is_wanted(task) and is_terminal(self.world.state(task)) and task.slot not in {t.slot for t in wanted}
        }
        slots = {task.slot for task in running} | {task.slot for task in waiting} | ended
        assert len(slots) == replicas_of(self.world.tables, self.world.tables.services[name])
        assert len(wanted) == len(running) + len(waiting)


# HYPOTHESIS_PROFILE=deep looks for an hour's worth; the usual run is one of seconds.
EXAMPLES, STEPS = (3_000, 80) if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else (60, 40)
TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
