"""One pass over a service: chooses its slots, decides about each of them, and places what they need."""

from functools import partial

from manager.planner.allocator.endpoint_plan import EndpointPlan, plan_endpoints
from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey
from manager.planner.orchestrator.rebalance_request import completed_request_ms, mark_moving_dirty
from manager.planner.orchestrator.service_dependencies import apply_dependencies
from manager.planner.orchestrator.slot_choice import choose_nodes, choose_slots, match_provider_slots
from manager.planner.orchestrator.successors import Successors
from manager.planner.scheduler.home_nodes import HomeNodes
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.scheduler.shared_network import SharedNetwork
from manager.planner.slots import drain_deadline, task_history
from manager.planner.slots.misplaced import MisplacedTasks
from manager.planner.slots.slot_tasks import (
    Slot,
    classify_dirty,
    counts_by_node,
    keep_best,
    remove_slot,
    settle,
    settle_ready,
    stop_orphaned_sharers,
    stop_slot,
)
from manager.planner.spec.effective_spec import current_update, effective
from manager.planner.spec.requirements import Requirements, requirements_of
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates import update_pace, update_state
from manager.planner.updates.canary_gate import CanaryGate
from manager.planner.updates.pass_decisions import PassDecisions
from manager.planner.updates.stable_tasks import StableTasks
from manager.planner.updates.update_monitor import UpdateMonitor
from manager.planner.updates.update_pace import Replacement, UnavailableSlot
from shoal.api.v1.service_pb2 import Service, ServiceStatus, UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_ready


def plan_service(draft: Draft, service: Service) -> None:
    """All stages for one service."""
    _ServicePass(draft, apply_dependencies(draft, service)).run()


class _ServicePass:
    """The state of one pass over one service: what the slots need is gathered first, then placed as one batch."""

    def __init__(self, draft: Draft, service: Service) -> None:
        self._draft = draft
        self._newest = service
        self._service = effective(draft.view, service)
        self._id = service.meta.id
        self._spec = self._service.spec
        self._is_global = service.spec.HasField("global")
        self._desired = DesiredTemplate(draft.view, self._service)
        self._demand: Requirements = requirements_of(self._spec, draft.view.networks)
        self._monitor = UpdateMonitor(draft, self._desired, self._spec, current_update(draft.view, service))
        self._policy = update_state.config_of(service.spec, self._monitor.update)
        self._decisions = PassDecisions()
        self._gate = CanaryGate(draft, service, self._service, self._desired, self._monitor.update, self._decisions)
        self._home_nodes = HomeNodes(draft, self._id, self._spec)
        self._shared = SharedNetwork(draft, self._spec)
        self._index = draft.slot_index.of_service(self._id)
        self._size = 0
        self._slots: dict[SlotKey, Slot] = {}
        self._rebalancing: dict[str, str] = {}
        self._rebalanced_at_ms = completed_request_ms(draft, self._id)
        self._successors = Successors(draft, self._service, self._desired, self._demand, self._monitor, self._decisions)
        self._steps = 0
        self._moves_started_first = 0
        self._known = draft.view.service_status.get(self._id) or ServiceStatus()
        self._moved_at_ms = self._known.last_move_at_ms

    def run(self) -> None:
        self._index.retarget(self._desired.revision, self._monitor.since_ms)
        self.misplaced = MisplacedTasks(self._draft, self._demand, self._index, is_global=self._is_global)
        if self._is_shrinking():
            self._index.mark_all_dirty()
        elif not (self._is_global or self._monitor.is_active or self._home_nodes or self._shared):
            canaries = bool(self._newest.spec.update.canary)
            misplaced = self.misplaced.reason if self.misplaced else None
            settle_ready(self._draft, self._index, self._desired, misplaced, canaries=canaries)
        self._index.mark_outdated_dirty(
            max(1, self._newest.spec.update.parallelism, self._newest.spec.rollback.parallelism)
        )
        self._rebalancing = self._find_rebalancing()
        slots = self._slots = classify_dirty(self._draft, self._index)
        kept = self._global_slots(slots) if self._is_global else self._replica_slots(slots)
        for slot in kept:
            self._monitor.observe(slot)
            before = self._effects()
            self._decide(slot)
            if self._effects() == before and not self._monitor.has_failed(slot):
                settle(self._draft, self._index, slot)
        progress = self._advance_update(self._size)
        self._home_nodes.adopt()
        self._place()
        endpoints = plan_endpoints(self._draft, self._id, self._spec, self._demand.networks)
        self._decisions.problems.update(endpoints.problems)
        for slot in slots.values():
            task_history.trim(self._draft, slot, self._spec.task.restart)
        self._write_status(progress, endpoints)

    def _find_rebalancing(self) -> dict[str, str]:
        """Ids of tasks that a rebalance moves, with their target nodes; their slots become dirty."""
        if self._is_global or self._monitor.is_active:
            return {}
        found = mark_moving_dirty(self._draft, self._service, self._index, self._demand)
        if found is None:
            self._rebalanced_at_ms = self._newest.rebalance_requested_at_ms
        return found or {}

    def _is_shrinking(self) -> bool:
        return not self._is_global and len(self._index.settled) > self._spec.replicated.replicas

    def _effects(self) -> tuple[int, ...]:
        """Changes with everything that a decision about a slot does, or leaves for the stages after it."""
        return self._draft.change_count, *self._decisions.sizes()

    def _replica_slots(self, slots: dict[SlotKey, Slot]) -> list[Slot]:
        replicas = self._spec.replicated.replicas
        if self._shared:
            choice = match_provider_slots(self._draft, slots, self._index, partial(self._shared.choose_slots, replicas))
        else:
            choice = choose_slots(self._draft, slots, self._index, replicas, home=self._home_nodes.recorded_node())
        for slot in choice.remove:
            remove_slot(self._draft, slot, "scaled down")
        self._size = len(choice.keep) + len(choice.new) + len(self._index.settled)
        self._gate.begin(self._index, choice.keep, slots)
        fresh = choice.new
        if self._gate.stable:
            fresh = [number for number in fresh if not self._gate.fill_stable(Slot(number))]
        self._decisions.requests += [(number, PlacementRequest(number)) for number in fresh]
        self._decisions.unavailable += [UnavailableSlot()] * len(fresh)
        return choice.keep

    def _global_slots(self, slots: dict[SlotKey, Slot]) -> list[Slot]:
        fit = choose_nodes(self._draft, slots, self._demand, self._shared.admits if self._shared else None)
        self._size = len(fit)
        settled = self._index.settled
        kept = [slots.setdefault(identifier, Slot(identifier)) for identifier in fit if identifier not in settled]
        self._gate.begin(self._index, kept, slots)
        return kept

    def _decide(self, slot: Slot) -> None:
        current: list[Task] = []
        stale: list[Task] = []
        if self._home_nodes and (why := self._home_nodes.move_reason(slot.key)):
            stop_slot(self._draft, slot, why)
        stop_orphaned_sharers(self._draft, slot)
        if self._gate.fill_stable(slot):
            return
        for task in slot.active:
            (current if self._is_current(task) else stale).append(task)
        kept = [task for task in stale if not self._is_overdue(task)]
        if current:
            self._successors.retire_ended(slot)
            best = keep_best(self._draft, current, "another task runs in its slot")
            self._keep_current(slot, best, kept)
            if best.node_id and self._desired.has_older_number(best):
                self._draft.set_revision(best, self._desired.revision)
        elif kept:
            self._decide_stale(slot, kept)
        elif stale and self._gate.stable and self._desired.differs(stale[-1]):
            self._gate.fill_stable_later(slot)
        elif slot.stopping or stale:
            self._decisions.unavailable.append(UnavailableSlot())
        else:
            self._successors.refill(slot, start_first=False)

    def _is_current(self, task: Task) -> bool:
        # A pending task is rewritten with the desired revision, and so is never outdated.
        if not task.node_id:
            return True
        return not (self._is_leaving(task) or self.misplaced.reason(task) or self._desired.differs(task))

    def _is_leaving(self, task: Task) -> bool:
        # A task that shares another one's network moves with that one.
        return not task.network_task_id and (self._draft.is_drained(task.node_id) or task.id in self._rebalancing)

    def _is_overdue(self, task: Task) -> bool:
        """Stop the task if the drain deadline of its node has passed; whether it has."""
        if self._demand.single_node and self._draft.is_drained(task.node_id):
            self._draft.stop(
                task, TaskState.SHUTDOWN, "its node is drained, and its volume can be on one node at a time"
            )
            return True
        return drain_deadline.stop_if_overdue(self._draft, task)

    def _keep_current(self, slot: Slot, best: Task, stale: list[Task]) -> None:
        available_at_ms = self._monitor.available_at_ms(best)
        if available_at_ms is not None and available_at_ms <= self._draft.now_ms:
            for task in stale:
                self._draft.stop(task, TaskState.SHUTDOWN, self._why_moved(task))
            return
        if available_at_ms is not None:
            self._draft.requeue_at(self._id, available_at_ms)
        if stale:
            keep_best(self._draft, stale, "another task runs in its slot")
        failed = self._monitor.has_failed(slot)
        self._decisions.unavailable.append(
            UnavailableSlot(best.created_at_ms, not best.node_id, best.attempt > 0, failed)
        )
        if not best.node_id:
            self._decisions.requests.append(
                (best.slot, PlacementRequest(best.slot, best.attempt, best, start_first=False))
            )

    def _decide_stale(self, slot: Slot, tasks: list[Task]) -> None:
        """None of the tasks is to stay, except stable ones before a promotion, where they may."""
        stable = self._gate.stable if all(map(self._desired.differs, tasks)) else None
        settled = [task for task in tasks if not self._leaves(task, stable)] if stable else []
        best = keep_best(self._draft, settled or tasks, "another task runs in its slot")
        leaving = [task for task in tasks if task not in settled] if settled else []
        if not stable or not leaving:
            self._consider_replacing(slot, best)
            return
        self._decisions.outdated.append(best)
        if is_ready(best, self._draft.view.task_status.get(best.id)):
            for task in leaving:
                self._draft.stop(task, TaskState.SHUTDOWN, stable.misplaced.move_reason(task))
        else:
            stable.await_ready(best)
            keep_best(self._draft, leaving, "another task runs in its slot")

    def _leaves(self, task: Task, stable: StableTasks | None) -> bool:
        return self._is_leaving(task) or bool((stable or self).misplaced.reason(task))

    def _consider_replacing(self, slot: Slot, task: Task) -> None:
        outdated = self._desired.differs(task)
        stable = self._gate.stable if outdated else None
        serves = is_ready(task, self._draft.view.task_status.get(task.id))
        if outdated:
            self._decisions.outdated.append(task)
        elif not self._monitor.is_available(task) and not self._monitor.has_failed(slot):
            self._decisions.expected.append(task)
        if stable and not self._leaves(task, stable):
            if self._gate.is_full and not serves:
                stable.await_ready(task)
                return
            stable = None
        if self._starts_first(stable) and not (stable or self._successors).may_start_first(slot):
            return  # the successor that was started first has failed
        misplaced = bool((stable or self).misplaced.reason(task))
        self._decisions.replacements.append(
            (slot, Replacement(task, serves, outdated and not stable, self._is_leaving(task), misplaced))
        )

    def _starts_first(self, stable: StableTasks | None) -> bool:
        """Its successor is started first, whatever it is replaced for, if ports and mounts allow it."""
        demand = stable.demand if stable else self._demand
        return self._policy.order == UpdateConfig.START_FIRST and demand.may_start_first

    def _advance_update(self, slots: int) -> UpdateStatus | None:
        """Take the next step of an update or a drain; the status of the update after it."""
        now_ms = self._draft.now_ms
        outdated = len(self._decisions.outdated) + len(self._index.outdated) + len(self._decisions.stable_slots)
        before = self._known.update if self._known.HasField("update") else None
        progress = update_state.advance(
            before,
            self._observed(slots, outdated, before),
            spec=self._newest.spec,
            task_revision=self._newest.task_revision,
            control=self._newest.update_control,
            now_ms=now_ms,
        )
        # An update to an earlier template does not apply any more.
        now = progress if progress is not None and progress.task_revision == self._newest.task_revision else None
        if now is not None and now.effective_revision != self._monitor.effective_revision:
            return progress  # what was observed is not of the template that is effective from now on
        config = self._policy = update_state.config_of(self._newest.spec, now)
        replacements = [replacement for _, replacement in self._decisions.replacements]
        step = update_pace.next_step(
            config,
            now,
            replacements,
            self._decisions.unavailable,
            now_ms,
            stable_unavailable=self._decisions.stable_unavailable,
            moved_at_ms=self._known.last_move_at_ms,
        )
        canaries = slots - outdated + self._gate.extra_canaries
        step = update_pace.limit_to_canaries(step, config, now, canaries=canaries)
        for due in (step.next_due_ms, update_state.deadline_at_ms(now, self._newest.spec)):
            if due is not None and due > now_ms:
                self._draft.requeue_at(self._id, due)
        chosen = {replacement.task.id for replacement in step.replace}
        for slot, each in self._decisions.replacements:
            if each.task.id in chosen:
                self._replace(slot, each)
            elif each.ready and each.outdated and not each.leaving and [*slot.all()] == [each.task]:
                self._index.settle_outdated(slot.key, each.task)
        return progress

    def _observed(self, slots: int, outdated: int, before: UpdateStatus | None) -> update_state.Observed:
        return update_state.Observed(
            slots=slots,
            outdated=outdated,
            extra_canaries=self._gate.extra_canaries,
            in_flight=update_pace.in_flight(self._monitor.update, self._decisions.unavailable)
            + len(self._decisions.expected),
            failed=self._monitor.failed,
            reason=self._monitor.reason,
            running_revision=self._gate.running_revision
            or max((*(task.revision for task in self._decisions.outdated), *self._index.outdated.values()), default=0),
            reverts=update_state.reverts(before, self._desired.differs_from),
        )

    def _replace(self, slot: Slot, replacement: Replacement) -> None:
        task, home = replacement.task, self._rebalancing.get(replacement.task.id, "")
        stable = self._gate.stable if self._desired.differs(task) and not replacement.outdated else None
        if replacement.ready and self._starts_first(stable):
            stable.start_first(slot, home) if stable else self._successors.refill(
                slot, start_first=True, preferred_node=home
            )
            self._moves_started_first += replacement.misplaced
        elif not replacement.ready or replacement.outdated or not self._must_stay(task, stable):
            why = stable.misplaced.move_reason(task) if stable else self._why_moved(task)
            self._draft.stop(task, TaskState.SHUTDOWN, why)
            self._steps += replacement.outdated
            if replacement.misplaced and replacement.ready:
                self._moved_at_ms = self._draft.now_ms

    def _must_stay(self, task: Task, stable: StableTasks | None) -> bool:
        """A ready task is not stopped for one that cannot be placed, until the drain deadline."""
        counts = counts_by_node(self._draft, self._index, self._slots)
        why = (stable or self._successors).placer.why_unplaceable(task.slot, counts)
        if why:
            self._draft.blocked.add(self._id)
            self._decisions.problems.add((stable or self).misplaced.stay_problem(task, why))
        return bool(why)

    def _why_moved(self, task: Task) -> str:
        return "replaced by an update" if self._desired.differs(task) else self.misplaced.move_reason(task)

    def _place(self) -> None:
        stable = self._gate.stable
        if not self._decisions.requests and not stable:
            return
        counts = counts_by_node(self._draft, self._index, self._slots)
        if stable:
            self._decisions.problems.update(stable.place(self._slots, counts))
        besides = self._successors.place(self._slots, counts)
        self._steps += besides
        if self._moves_started_first and (besides or (stable and stable.placer.started_first)):
            self._moved_at_ms = self._draft.now_ms

    def _write_status(self, progress: UpdateStatus | None, endpoints: EndpointPlan) -> None:
        status = ServiceStatus(
            service_id=self._id,
            problems=sorted(self._decisions.problems - {""})[:10],
            virtual_addresses=endpoints.virtual_addresses,
            mesh_ports=endpoints.mesh_ports,
            handled_rebalance_at_ms=self._rebalanced_at_ms,
            last_move_at_ms=self._moved_at_ms,
        )
        if progress is not None:
            status.update.CopyFrom(progress)
            if self._steps and progress.state in update_state.MONITORED:
                status.update.last_step_at_ms = self._draft.now_ms
        self._draft.write_status(status)
