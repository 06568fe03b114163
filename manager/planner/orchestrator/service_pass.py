"""One pass over a service: chooses its slots, decides about each of them, and places what they need."""

from functools import partial

from manager.planner.allocator.endpoint_plan import EndpointPlan, plan_endpoints
from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey
from manager.planner.orchestrator.pass_decisions import PassDecisions
from manager.planner.orchestrator.service_context import ServiceContext
from manager.planner.orchestrator.service_dependencies import apply_dependencies
from manager.planner.orchestrator.slot_choice import choose_nodes, choose_slots, match_provider_slots
from manager.planner.orchestrator.slot_decisions import decide
from manager.planner.orchestrator.update_step import UpdateStep
from manager.planner.slots import task_history
from manager.planner.slots.slot_tasks import Slot, classify_dirty, counts_by_node, remove_slot, settle
from manager.planner.updates import update_state
from manager.planner.updates.slot_decision import NOTHING
from shoal.api.v1.service_pb2 import Service, ServiceStatus, UpdateStatus


def plan_service(draft: Draft, service: Service) -> None:
    """All stages for one service."""
    _ServicePass(ServiceContext.of(draft, apply_dependencies(draft, service))).run()


class _ServicePass:
    """The state of one pass over one service: what the slots need is gathered first, then placed as one batch."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._draft, self._index, self._gate = context.draft, context.index, context.gate
        self._decisions = PassDecisions(context.draft, context.service_id)
        self._slots: dict[SlotKey, Slot] = classify_dirty(context.draft, context.index)
        self._step = UpdateStep(context, self._decisions, self._slots)
        self._size = 0
        self._started_first = 0

    def run(self) -> None:
        context = self._context
        for slot in self._global_slots() if context.is_global else self._replica_slots():
            self._decide(slot)
        progress = self._step.advance(self._size)
        context.home_nodes.adopt()
        self._place()
        endpoints = plan_endpoints(self._draft, context.service_id, context.spec, context.demand.networks)
        self._decisions.problems.update(endpoints.problems)
        for slot in self._slots.values():
            task_history.trim(self._draft, slot, context.spec.task.restart)
        self._write_status(progress, endpoints)

    def _decide(self, slot: Slot) -> None:
        monitor = self._context.monitor
        monitor.observe(slot)
        decision = decide(self._context, slot)
        if decision != NOTHING:
            self._decisions.add(slot, decision)
        elif not monitor.has_failed(slot):
            settle(self._draft, self._index, slot)

    def _replica_slots(self) -> list[Slot]:
        context, slots, replicas = self._context, self._slots, self._context.spec.replicated.replicas
        if context.shared_network:
            choose = partial(context.shared_network.choose_slots, replicas)
            choice = match_provider_slots(self._draft, slots, self._index, choose)
        else:
            home = context.home_nodes.recorded_node()
            choice = choose_slots(self._draft, slots, self._index, replicas, home=home)
        for slot in choice.remove:
            remove_slot(self._draft, slot, "scaled down")
        self._size = len(choice.keep) + len(choice.new) + len(self._index.settled)
        self._gate.begin(self._index, choice.keep, slots)
        self._fill_new(choice.new)
        return choice.keep

    def _fill_new(self, numbers: list[int]) -> None:
        """Slots that have no task yet get one, of the desired template or a stable one."""
        if not self._gate.stable:
            self._decisions.add_new(numbers)
            return
        for number in numbers:
            slot = Slot(number)
            decision = self._gate.fill_stable(slot)
            if decision is not None:
                self._decisions.add(slot, decision)
            else:
                self._decisions.add_new([number])

    def _global_slots(self) -> list[Slot]:
        context, slots = self._context, self._slots
        admits = context.shared_network.admits if context.shared_network else None
        fit = choose_nodes(self._draft, slots, context.demand, admits)
        self._size = len(fit)
        settled = self._index.settled
        kept = [slots.setdefault(identifier, Slot(identifier)) for identifier in fit if identifier not in settled]
        self._gate.begin(self._index, kept, slots)
        return kept

    def _place(self) -> None:
        stable, successors, decisions = self._gate.stable, self._context.successors, self._decisions
        if not (decisions.requests or decisions.stable_requests):
            return
        counts = counts_by_node(self._draft, self._index, self._slots)
        stable_first = 0
        if stable and decisions.stable_requests:
            decisions.problems.update(stable.place(decisions.stable_requests, self._slots, counts))
            stable_first = stable.placer.started_first
        if decisions.requests:
            decisions.problems.update(successors.place(decisions.requests, self._slots, counts))
            self._started_first = successors.placer.started_first
        if self._step.misplaced_first and (stable_first or self._started_first):
            self._step.moved_at_ms = self._draft.now_ms

    def _write_status(self, progress: UpdateStatus | None, endpoints: EndpointPlan) -> None:
        status = ServiceStatus(
            service_id=self._context.service_id,
            problems=sorted(self._decisions.problems - {""})[:10],
            virtual_addresses=endpoints.virtual_addresses,
            mesh_ports=endpoints.mesh_ports,
            handled_rebalance_at_ms=self._context.rebalanced_at_ms,
            last_move_at_ms=self._step.moved_at_ms,
        )
        if progress is not None:
            status.update.CopyFrom(progress)
            if (self._step.replaced or self._started_first) and progress.state in update_state.MONITORED:
                status.update.last_step_at_ms = self._draft.now_ms
        self._draft.write_status(status)
