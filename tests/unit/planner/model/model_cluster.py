"""The planner against a simulated cluster: nodes that die, return and lie, users who change their minds, leaders that
change between any two commits. `World.plan` checks that passes are repeatable and that incremental equals full.
"""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manager.planner.spec.effective_spec import current_update, effective, rolled_back_to, spec_in_force
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates.update_state import config_of
from manager.store import kinds
from shoal.api.v1.control_pb2 import ManageUpdateRequest
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    AutoscaleStatus,
    Global,
    Placement,
    Service,
    ServiceSpec,
    UpdateConfig,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.networks.network_modes import network_provider
from shoal.task_states import is_terminal, should_run
from tests.fakes.planner_world import World
from tests.unit.planner.model.model_canaries import check_canaries
from tests.unit.planner.model.model_checks import (
    Pace,
    Rest,
    check_placed,
    check_preempted,
    check_template,
)
from tests.unit.planner.model.model_counts import COUNTED
from tests.unit.planner.model.model_proofs import Before, Proofs, Wait
from tests.unit.planner.model.model_sharing import check_bound, check_shared, share_network
from tests.unit.planner.model.model_specs import (
    DEVICES,
    FEATURES,
    GENERIC,
    IMAGES,
    MIB,
    NETWORKS,
    NODES,
    SERVICES,
    own_volumes,
    specs,
)
from tests.unit.planner.model.model_volumes import check_alone, check_at_home, check_homes_stay, split_by_slot

MANAGE = ManageUpdateRequest
services = st.sampled_from(SERVICES)
nodes = st.sampled_from(NODES)


canary_policies = st.builds(
    UpdateConfig,
    canary=st.sampled_from([1, 1, 2]),
    parallelism=st.integers(1, 2),
    order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
    monitor_ms=st.sampled_from([0, 1_000]),
    max_failure_ratio=st.sampled_from([0.0, 0.5]),
    failure_action=st.sampled_from([0, 0, UpdateConfig.PAUSE, UpdateConfig.CONTINUE]),
)
move_policies = st.builds(
    UpdateConfig,
    parallelism=st.integers(1, 2),
    delay_ms=st.sampled_from([0, 2_000, 5_000]),
    order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
)
narrower = st.builds(
    Placement,
    constraints=st.sampled_from([[], ["node.labels.zone == a"], ["node.labels.zone == b"], ["node.hostname != h1"]]),
    max_per_node=st.sampled_from([0, 0, 1, 2]),
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
        self.plans_counted = 0
        self.features: list[str] = []
        self.proofs = Proofs()
        self.waits: dict[str, Wait] = {}
        self.moved: dict[str, int] = {}
        self.world.observers.append(self.waiting_reasons_are_true)
        COUNTED["clusters"] += 1

    @initialize(size=st.integers(1, 3), features=st.sets(st.sampled_from(FEATURES), max_size=5))
    def found(self, size: int, features: set[str]) -> None:
        self.features = sorted(features)
        for name in NETWORKS:
            self.world.network(name, "10.7.0.0/28" if name == "back" else "")
        for name in NODES[:size]:
            self.add_node(name)

    # The user.

    @rule(name=services, image=st.sampled_from(IMAGES))
    def change_image(self, name: str, image: str) -> None:
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None:
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            spec.task.container.image = image
            self.world.service(self.ids[name], spec)
            self._wait_for(self.ids[name])

    @rule(name=services, image=st.sampled_from(IMAGES), replicas=st.integers(0, 9))
    def change_image_and_scale(self, name: str, image: str, replicas: int) -> None:
        """Both at once."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None and service.spec.HasField("replicated"):
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            spec.task.container.image = image
            spec.replicated.replicas = replicas
            self.world.service(self.ids[name], spec)
            self._wait_for(self.ids[name])

    @rule(name=services, policy=canary_policies, replicas=st.integers(2, 6), rounds=st.integers(1, 4))
    def begin_with_canaries(self, name: str, policy: UpdateConfig, replicas: int, rounds: int) -> None:
        """An update that waits for its promotion, of a service that is well; perhaps with another size."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is None:
            return
        self._go_on(2)
        spec = ServiceSpec()
        spec.CopyFrom(spec_in_force(self.world.tables, service))
        spec.task.container.image = next(image for image in IMAGES if image != spec.task.container.image)
        spec.update.CopyFrom(policy)
        if spec.HasField("replicated"):
            spec.replicated.replicas = replicas
        COUNTED["changes based on a rollback"] += bool(rolled_back_to(self.world.tables, service))
        self.world.service(self.ids[name], spec)
        self._wait_for(self.ids[name])
        self._go_on(rounds)

    @rule(name=services, number=st.integers(1, 3), rounds=st.integers(1, 3))
    def the_newest_fail(self, name: str, number: int, rounds: int) -> None:
        """Tasks that have to prove themselves end."""
        tasks = [task for task in self.world.desired(self.ids.get(name, "")) if task.node_id and self._is_up(task)]
        for task in sorted(tasks, key=lambda task: (-task.revision, -task.created_at_ms, task.id))[:number]:
            if not self.world.is_checked(task):
                self.world.report(task, TaskState.RUNNING)
            self.world.report(task, TaskState.FAILED)
        self._go_on(rounds)

    @rule(name=services, placement=narrower, policy=move_policies, rounds=st.integers(1, 6))
    def narrow_the_placement(self, name: str, placement: Placement, policy: UpdateConfig, rounds: int) -> None:
        """What runs where it may not any more moves."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is None:
            return
        self._go_on(2)
        spec = ServiceSpec()
        spec.CopyFrom(spec_in_force(self.world.tables, service))
        spec.task.placement.CopyFrom(placement)
        spec.update.MergeFrom(policy)
        self.world.service(self.ids[name], spec)
        self._wait_for(self.ids[name])
        for _ in range(rounds):
            self._go_on(2)
            self.world.now_ms += 1_000

    def _wait_for(self, identifier: str) -> None:
        self.waits[identifier] = Wait(self.world.tables, self.world.tables.services[identifier], self.world.now_ms)

    @rule(name=services, data=st.data())
    def deploy(self, name: str, data: st.DataObject) -> None:
        shares = name == "web" and "sharing" in self.features and data.draw(st.integers(0, 3)) > 0
        self._deploy(name, data.draw(specs(self.features)), shares=shares)

    @precondition(lambda self: "sharing" in self.features)
    @rule(data=st.data(), rounds=st.integers(0, 4))
    def share_a_network(self, data: st.DataObject, rounds: int) -> None:
        """A service, and another one of the same mode whose tasks share the networks of its tasks; they come so far."""
        if self.ids.get("api") not in self.world.tables.services:
            self._deploy("api", data.draw(specs(self.features)))
        provider, spec = self.world.tables.services[self.ids["api"]].spec, data.draw(specs(self.features))
        spec.ClearField(spec.WhichOneof("mode") or "global")
        if provider.HasField("replicated"):
            spec.replicated.replicas = data.draw(st.sampled_from([provider.replicated.replicas] * 2 + [1, 3]))
        else:
            getattr(spec, "global").CopyFrom(Global())
        spec.ClearField("autoscale")
        self._deploy("web", spec, shares=True)
        self._go_on(rounds)

    def _deploy(self, name: str, spec: ServiceSpec, *, shares: bool = False) -> None:
        identifier = self._id(name)
        old = self.world.tables.services.get(identifier)
        if old is not None and old.spec.WhichOneof("mode") != spec.WhichOneof("mode"):
            spec.ClearField(spec.WhichOneof("mode") or "global")
            if old.spec.HasField("replicated"):
                spec.replicated.CopyFrom(old.spec.replicated)
            else:
                getattr(spec, "global").CopyFrom(Global())
                spec.ClearField("autoscale")  # which the control API refuses there
        if shares:
            share_network(spec, self.ids.get("api", "api1"))
        own_volumes(spec, identifier)
        self.world.service(identifier, spec)
        self._wait_for(identifier)

    @rule(name=services, replicas=st.integers(1, 4))
    def split_volume(self, name: str, replicas: int) -> None:
        """The one task's volume comes to be there for each slot."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        spec = split_by_slot(self.world.tables, service) if service is not None else None
        if spec is not None:
            spec.replicated.replicas = replicas
            self.world.service(self.ids[name], spec)

    def _id(self, name: str) -> str:
        """As with real ids, one that is gone does not come back."""
        if name not in self.ids:
            self.made += 1
            self.ids[name] = f"{name}{self.made}"
        return self.ids[name]

    @rule(name=services, image=st.sampled_from(IMAGES), rounds=st.integers(0, 4))
    def there_and_back(self, name: str, image: str, rounds: int) -> None:
        """An update comes so far, and is taken back."""
        self.change_image(name, image)
        self._go_on(rounds)
        self.roll_back(name)
        self._go_on(3)

    @rule(name=services, other=services, more=st.integers(1, 2), at_once=st.sampled_from([None, 1, 2]))
    def contend(self, name: str, other: str, more: int, at_once: int | None) -> None:
        """Another service wants what this one has, or more of it, and comes before it."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is None or name == other or self.ids.get(other, "") in self.world.tables.services:
            return
        if network_provider(service.spec.task):
            return
        self.world.settle()
        spec = ServiceSpec()
        spec.CopyFrom(service.spec)
        spec.priority += 5
        for each in spec.task.reservations.generic_resources:
            each.count = min(3, each.count * more)
        own_volumes(spec, self._id(other))
        self.world.service(self._id(other), spec)
        self.plan(None)
        self.world.settle(at_once=at_once)

    def _go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.plan(None)
            self.world.obey()

    @rule(name=services)
    def roll_back(self, name: str) -> None:
        """To the revision before, as the user asks for it."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None and service.revision > 1:
            earlier = self.world.tables.revisions[f"{service.meta.id}/{service.revision - 1}"]
            self.world.service(service.meta.id, earlier.spec, rollback=True)
            self._wait_for(service.meta.id)

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
            spec.CopyFrom(spec_in_force(self.world.tables, service))
            spec.replicated.replicas = replicas
            COUNTED["changes based on a rollback"] += bool(rolled_back_to(self.world.tables, service))
            self.world.service(self.ids[name], spec)
            self._wait_for(self.ids[name])

    @rule(name=services)
    def rebalance(self, name: str) -> None:
        if self.ids.get(name, "") in self.world.tables.services:
            self.world.rebalance(self.ids[name])

    @rule(name=services, action=st.sampled_from([MANAGE.PAUSE, MANAGE.RESUME, MANAGE.RESUME, MANAGE.PROMOTE]))
    def manage(self, name: str, action: MANAGE.Action.ValueType) -> None:
        if self.ids.get(name, "") in self.world.tables.services:
            self.world.manage(self.ids[name], action)

    @rule(name=services)
    def remove_service(self, name: str) -> None:
        identifier = self.ids.pop(name, None)
        if identifier is not None:
            self.world.put(kinds.SERVICE, identifier, None)
            self.waits.pop(identifier, None)

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

    def plan(self, cut: int | None) -> None:
        before = dict(self.world.tables.tasks)
        tables = self.world.tables
        homes = dict(tables.volume_homes)
        self.in_force = {name: effective(tables, service) for name, service in tables.services.items()}
        known = Before.of(tables, self.in_force)
        outcome = self.world.plan(cut=cut)
        check_homes_stay(tables, homes, before.values(), self.world.now_ms)
        check_shared(tables, before)
        pace = Pace(tables, before, outcome.writes)
        for service in tables.services.values():
            pace.check(service)
            check_canaries(tables, service, before)
            self._check_delay(service, pace, cut)
            if cut is None:
                self.proofs.check_pass(tables, service, known, self.world.now_ms)
        for task in tables.tasks.values():
            if task.id not in before:
                check_template(tables, task, self.in_force, before.values())
            if task.node_id and (task.id not in before or not before[task.id].node_id):
                check_placed(tables, task, self.in_force)
                check_alone(tables, task, self.in_force[task.service_id].spec, self.world.now_ms)
                check_at_home(tables, task, self.in_force[task.service_id].spec)
        if cut is None:
            check_bound(tables, before)
            self._check_preempted(before)
            self._check_numbers()
            for task in filter(should_run, tables.tasks.values()):
                if task.node_id and task.service_id in self.in_force and not is_terminal(self.world.state(task)):
                    check_at_home(tables, task, self.in_force[task.service_id].spec)

    def _check_delay(self, service: Service, pace: Pace, cut: int | None) -> None:
        """Between two passes that move what the placement does not admit any more lies the delay of the policy."""
        tables, name = self.world.tables, service.meta.id
        known = tables.service_status.get(name)
        rebalanced = known is None or known.handled_rebalance_at_ms >= service.rebalance_requested_at_ms
        moves = pace.moves_for_placement(service) if rebalanced else 0
        if not moves:
            return
        COUNTED["placement moves"] += moves
        delay_ms = config_of(service.spec, current_update(tables, service)).delay_ms
        if delay_ms and name in self.moved:
            COUNTED["delays kept"] += 1
            waited_ms = self.world.now_ms - self.moved[name]
            assert waited_ms >= delay_ms, f"{moves} tasks of {name} move after {waited_ms} ms"
        self.moved.pop(name, None)
        if cut is None:
            self.moved[name] = self.world.now_ms

    def _check_preempted(self, before: dict[str, Task]) -> None:
        for task in self.world.tables.tasks.values():
            if task.reason.startswith("preempted by service ") and before[task.id].reason != task.reason:
                check_preempted(self.world.tables, task)

    def _check_numbers(self) -> None:
        """Never more than wanted and the update's surplus."""
        for name, service in self.world.tables.services.items():
            update = service.spec.update
            surplus = (update.parallelism or 1) if update.order == UpdateConfig.START_FIRST else 0
            if service.spec.HasField("replicated"):
                slots = Counter(task.slot for task in self.world.desired(name))
                assert len(slots) <= self.in_force[name].spec.replicated.replicas
                assert max(slots.values(), default=0) <= 2
                # Those in which a successor has failed are not waited for.
                failed = {task.slot for task in self.world.desired(name) if task.attempt}
                doubled = sum(number - 1 for slot, number in slots.items() if slot not in failed)
                # A smaller surplus may have been asked for while there was a greater one: it is not taken back.
                assert doubled <= max(surplus, 3), f"{doubled} slots of {name} have two tasks"
            else:
                assert max(self.world.by_node(name).values(), default=0) <= 2

    def _is_up(self, task: Task) -> bool:
        status = self.world.tables.node_status.get(task.node_id)
        return status is not None and status.state == NodeStatus.READY

    # What always holds.

    @invariant()
    def waiting_reasons_are_true(self) -> None:
        tables, now_ms = self.world.tables, self.world.now_ms
        self.proofs.look(tables, now_ms)
        for name, wait in list(self.waits.items()):
            if wait.look(tables, tables.services[name], self.proofs, now_ms):
                del self.waits[name]

    @invariant()
    def count(self) -> None:
        COUNTED["steps"] += 1
        COUNTED["passes"] += self.world.plans - self.plans_counted
        self.plans_counted = self.world.plans

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
                names.update((task.node_id, each.kind, name) for each in task.generic_resources for name in each.names)
                seats.update({task.node_id: sum(each.count for each in task.generic_resources)})
        assert max(names.values(), default=0) <= 1
        assert max(seats.values(), default=0) <= 2

    @invariant()
    def nodes_stay_and_desires_go_forward(self) -> None:
        for task in self.world.tables.tasks.values():
            if task.node_id:
                assert self.places.setdefault(task.id, task.node_id) == task.node_id
            assert task.desired_state >= self.desires.get(task.id, 0)
            self.desires[task.id] = task.desired_state

    @precondition(lambda self: self.world.plans % 4 > 1)
    @rule(at_once=st.sampled_from([None, 1, 2]))
    def heal(self, at_once: int | None) -> None:
        """With all nodes well and agents that obey, everything that may run does, or says why not.

        Args:
            at_once: how many tasks come to what is wanted of them between two passes; None: all.
        """
        for name in self.world.tables.nodes:
            self.world.set_state(name, NodeStatus.READY)
            self.world.set_availability(name, NodeSpec.ACTIVE)
        self.world.settle(at_once=at_once)
        Rest(self.world.tables).check()
        for service in self.world.tables.services.values():
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
        if update.state in (UpdateStatus.COMPLETED, UpdateStatus.ROLLED_BACK) and "remaining" not in update.message:
            requested = DesiredTemplate(tables, effective(tables, service))
            running = self.world.running(service.meta.id)
            assert not [task for task in running if requested.differs(task) and service.spec.HasField("replicated")]
