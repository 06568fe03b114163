"""What holds of the planner in any cluster, looked at after each of its passes."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from manager.planner.spec.effective_spec import current_update, effective
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates.update_state import config_of
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    Service,
    UpdateConfig,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import Task
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
from tests.unit.planner.model.model_sharing import check_bound, check_shared
from tests.unit.planner.model.model_volumes import check_alone, check_at_home, check_homes_stay


class CheckedCluster(RuleBasedStateMachine):
    """A cluster whose planner is looked at."""

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

    def _go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.plan(None)
            self.world.obey()

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
