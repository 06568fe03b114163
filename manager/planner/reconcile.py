"""One service: which slots there are, what each of them needs, and what follows for its tasks."""

from functools import cached_property, partial

from manager.planner import history, restart, rollout, update
from manager.planner.demand import Demand, demand_of
from manager.planner.dependencies import hold_back
from manager.planner.draft import Draft
from manager.planner.effective import current_update, effective
from manager.planner.evening import carried_out_ms, find_leaving
from manager.planner.fronts import Fronts, plan_fronts
from manager.planner.gate import Gate
from manager.planner.homes import Homes
from manager.planner.misplaced import Misplaced
from manager.planner.need import Need, in_order
from manager.planner.place import Placing
from manager.planner.predecessors import held_back
from manager.planner.replicas import choose_nodes, choose_slots, follow_slots
from manager.planner.rolls import Key, key_of
from manager.planner.shared_network import SharedNetwork, sever
from manager.planner.slots import Slot, counts_by_node, keep_best, release, rest, rest_the_obvious, slots_of, stop
from manager.planner.template import Wanted
from manager.planner.trial import Trial
from manager.planner.update import Mover, Unsettled
from shoal.api.v1.service_pb2 import Service, ServiceStatus, UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_ready


def plan_service(draft: Draft, service: Service) -> None:
    """All stages for one service."""
    _ServicePass(draft, hold_back(draft, service)).run()


class _ServicePass:
    """The state of one pass over one service: what the slots need is gathered first, then placed as one batch."""

    def __init__(self, draft: Draft, service: Service) -> None:
        self._draft = draft
        self._newest = service
        self._service = effective(draft.view, service)
        self._id = service.meta.id
        self._spec = self._service.spec
        self._is_global = service.spec.HasField("global")
        self._wanted = Wanted(draft.view, self._service)
        self._demand: Demand = demand_of(self._spec, draft.view.networks)
        self._trial = Trial(draft, self._wanted, self._spec, current_update(draft.view, service))
        self._policy = rollout.config_of(service.spec, self._trial.update)
        self._homes = Homes(draft, self._id, self._spec)
        self._shared = SharedNetwork(draft, self._spec)
        self._roll = draft.rolls.roll(self._id)
        self._size = 0
        self._slots: dict[Key, Slot] = {}
        self._leaving: dict[str, str] = {}
        self._evened_at_ms = carried_out_ms(draft, self._id)
        self._needs: list[tuple[Key, Need]] = []
        self._movers: list[tuple[Slot, Mover]] = []
        self._unsettled: list[Unsettled] = []
        self._outdated: list[Task] = []
        self._problems: set[str] = set()
        self._steps = 0

    def run(self) -> None:
        self._roll.follow(self._wanted.revision, self._trial.since_ms)
        self._misplaced = Misplaced(self._draft, self._demand, self._roll, is_global=self._is_global)
        if self._is_shrinking():
            self._roll.wake_all()
        elif not (self._is_global or self._trial.is_on or self._homes or self._shared):
            rest_the_obvious(self._draft, self._roll, self._wanted, self._misplaced.why)
        self._roll.wake_outdated(max(1, self._newest.spec.update.parallelism, self._newest.spec.rollback.parallelism))
        self._leaving = self._find_leaving()
        slots = self._slots = slots_of(self._draft, self._roll)
        self._gate = Gate(self._draft, self._newest, self._trial.update, self._wanted, slots)
        kept = self._global_slots(slots) if self._is_global else self._replica_slots(slots)
        for slot in kept:
            self._trial.note(slot)
            before = self._effects()
            self._decide(slot)
            if self._effects() == before and not self._trial.has_failed(slot):
                rest(self._draft, self._roll, slot)
        progress = self._update(self._size)
        self._homes.adopt()
        self._place()
        fronts = plan_fronts(self._draft, self._id, self._spec, self._demand.networks)
        self._problems.update(fronts.problems)
        for slot in slots.values():
            history.trim(self._draft, slot, self._spec.task.restart)
        self._tell(progress, fronts)

    def _find_leaving(self) -> dict[str, str]:
        """Ids of tasks that move because the user wants the service evened out, with their nodes; wakes their slots."""
        if self._is_global or self._trial.is_on:
            return {}
        found = find_leaving(self._draft, self._service, self._roll, self._demand)
        if found is None:
            self._evened_at_ms = self._newest.rebalance_at_ms
        for task, _ in found or ():
            self._roll.wake(key_of(task))
        return {task.id: node_id for task, node_id in found or ()}

    def _is_shrinking(self) -> bool:
        return not self._is_global and len(self._roll.quiet) > self._spec.replicated.replicas

    def _effects(self) -> tuple[int, ...]:
        """Changes with everything that a decision about a slot does, or leaves for the stages after it."""
        left = len(self._needs), len(self._movers), len(self._unsettled), len(self._outdated), len(self._problems)
        return self._draft.effects, self._gate.held, *left

    def _replica_slots(self, slots: dict[Key, Slot]) -> list[Slot]:
        replicas = self._spec.replicated.replicas
        if self._shared:
            choice = follow_slots(self._draft, slots, self._roll, partial(self._shared.numbers, replicas))
        else:
            choice = choose_slots(self._draft, slots, self._roll, replicas, home=self._homes.node())
        for slot in choice.release:
            release(self._draft, slot, "scaled down")
        self._size = len(choice.keep) + len(choice.fresh) + len(self._roll.quiet)
        self._gate.begin(self._roll)
        fresh = [number for number in choice.fresh if not self._gate.holds(Slot(number))]
        self._needs += [(number, Need(number)) for number in fresh]
        self._unsettled += [Unsettled()] * len(fresh)
        return choice.keep

    def _global_slots(self, slots: dict[Key, Slot]) -> list[Slot]:
        self._gate.begin(self._roll)
        fit = choose_nodes(self._draft, slots, self._demand, self._shared.admits if self._shared else None)
        self._size = len(fit)
        quiet = self._roll.quiet
        return [slots.setdefault(identifier, Slot(identifier)) for identifier in fit if identifier not in quiet]

    def _decide(self, slot: Slot) -> None:
        fresh: list[Task] = []
        stale: list[Task] = []
        if self._homes and (why := self._homes.moving(slot.key)):
            stop(self._draft, slot, why)
        sever(self._draft, slot)
        if self._gate.holds(slot):
            return
        for task in slot.wanted:
            (fresh if self._is_fresh(task) else stale).append(task)
        kept = [task for task in stale if not self._is_overdue(task)]
        if fresh:
            self._close(slot)
            best = keep_best(self._draft, fresh, "another task has its slot")
            self._keep_fresh(slot, best, kept)
            if best.node_id and self._wanted.is_behind(best):
                self._draft.renumber(best, self._wanted.revision)
        elif kept:
            best = keep_best(self._draft, kept, "another task has its slot")
            self._consider_moving(slot, best)
        elif slot.stopping or stale:
            self._unsettled.append(Unsettled())
        else:
            self._refill(slot, beside=False)

    def _is_fresh(self, task: Task) -> bool:
        # One that no node has seen yet is written anew with the wanted revision, and so is never outdated.
        if not task.node_id:
            return True
        return not (self._is_leaving(task) or self._misplaced.why(task) or self._wanted.differs(task))

    def _is_leaving(self, task: Task) -> bool:
        # What shares another task's network leaves with that one.
        return not task.network_of and (self._draft.is_drained(task.node_id) or task.id in self._leaving)

    def _is_overdue(self, task: Task) -> bool:
        """Whether its node is being drained and the time to do so gently is over; it is stopped then."""
        if self._demand.single_node and self._draft.is_drained(task.node_id):
            self._draft.stop(task, TaskState.SHUTDOWN, "its node is drained, and its volume is on one at a time")
            return True
        by_ms = self._draft.drain_by_ms(task.node_id)
        if by_ms is None:
            return False
        if by_ms > self._draft.now_ms:
            self._draft.wake(self._id, by_ms)
            return False
        self._draft.stop(task, TaskState.SHUTDOWN, "its node is drained, and the time for it is over")
        return True

    def _keep_fresh(self, slot: Slot, best: Task, stale: list[Task]) -> None:
        counts_at = self._trial.counts_at(best)
        if counts_at is not None and counts_at <= self._draft.now_ms:
            for task in stale:
                self._draft.stop(task, TaskState.SHUTDOWN, self._why_moved(task))
            return
        if counts_at is not None:
            self._draft.wake(self._id, counts_at)
        if stale:
            keep_best(self._draft, stale, "another task has its slot")
        failed = self._trial.has_failed(slot)
        self._unsettled.append(Unsettled(best.created_at_ms, not best.node_id, best.attempt > 0, failed))
        if not best.node_id:
            self._needs.append((best.slot, Need(best.slot, best.attempt, best, beside=False)))

    def _consider_moving(self, slot: Slot, task: Task) -> None:
        outdated = self._wanted.differs(task)
        if outdated:
            self._outdated.append(task)
        if self._starts_first() and (ended := slot.last_end()) is not None and not self._wanted.differs(ended):
            verdict = self._answer(slot)
            if verdict.due_ms is None or verdict.due_ms > self._draft.now_ms:
                return  # the successor that was started beside it has failed
        serves = is_ready(task, self._draft.view.task_status.get(task.id))
        self._movers.append((slot, Mover(task, serves, outdated, self._is_leaving(task))))

    def _refill(self, slot: Slot, *, beside: bool, home: str = "") -> None:
        """Fill a slot that has no task to run, unless the restart policy says later or never.

        Args:
            home: the node that its next task goes to, when it fits there.
        """
        ended = slot.last_end()
        attempt = 0
        if ended is not None and not self._wanted.differs(ended):
            verdict = self._answer(slot)
            if verdict.due_ms is None or verdict.due_ms > self._draft.now_ms:
                return
            attempt = verdict.attempt
        elif slot.ended and not self._wanted.differs(newest := slot.ended[-1]):
            attempt = restart.next_attempt(newest, self._draft.view.task_status.get(newest.id))
        self._close(slot)
        if not beside:
            # A node that a global service cannot fill has no record that would say so.
            hopeless = self._is_global and not any(slot.all())
            failed = self._trial.has_failed(slot)
            self._unsettled.append(Unsettled(pending=hopeless, crashing=attempt > 0, failed=failed))
        number = slot.key if isinstance(slot.key, int) else 0
        home = restart.home(slot.ended) if attempt and not beside else home
        self._needs.append((slot.key, Need(number, attempt, beside=beside, home=home)))

    def _close(self, slot: Slot) -> None:
        """The ends in the slot have been answered."""
        for task in slot.ended:
            self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")

    def _answer(self, slot: Slot) -> restart.Verdict:
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if not self._wanted.differs(task)]
        verdict = restart.answer(self._spec.task.restart, ends, now_ms=self._draft.now_ms)
        if verdict.problem:
            self._problems.add(verdict.problem)
        if verdict.due_ms is not None and verdict.due_ms > self._draft.now_ms:
            self._draft.wake(self._id, verdict.due_ms)
        if verdict.problem or verdict.due_ms is not None:
            self._unsettled.append(Unsettled(crashing=True, failed=self._trial.has_failed(slot)))
        return verdict

    def _starts_first(self) -> bool:
        """Its successor is started beside it, whatever it is replaced for, if ports and mounts allow it."""
        return self._policy.order == UpdateConfig.START_FIRST and self._demand.may_overlap

    def _update(self, slots: int) -> UpdateStatus | None:
        """Take the next step of an update or a drain; how the update stands then."""
        now_ms = self._draft.now_ms
        outdated = len(self._outdated) + len(self._roll.outdated) + self._gate.held
        known = self._draft.view.service_status.get(self._id)
        before = known.update if known is not None and known.HasField("update") else None
        progress = rollout.advance(
            before,
            self._facts(slots, outdated, before),
            spec=self._newest.spec,
            task_revision=self._newest.task_revision,
            steering=self._newest.steering,
            now_ms=now_ms,
        )
        # An update to an earlier template has nothing to say any more.
        now = progress if progress is not None and progress.task_revision == self._newest.task_revision else None
        if now is not None and now.effective_revision != self._trial.effective_revision:
            return progress  # what was seen is not of the template that is in force from now on
        config = self._policy = rollout.config_of(self._newest.spec, now)
        step = update.next_step(config, now, [mover for _, mover in self._movers], self._unsettled, now_ms)
        step = update.spare_the_rest(step, config, now, slots=slots, outdated=outdated)
        for due in (step.wake_at_ms, rollout.due_ms(now, self._newest.spec)):
            if due is not None and due > now_ms:
                self._draft.wake(self._id, due)
        chosen = {mover.task.id for mover in step.replace}
        for slot, mover in self._movers:
            if mover.task.id in chosen:
                self._move(slot, mover)
            elif mover.running and mover.outdated and not mover.drained and [*slot.all()] == [mover.task]:
                self._roll.wait(slot.key, mover.task)
        return progress

    def _facts(self, slots: int, outdated: int, before: UpdateStatus | None) -> rollout.Facts:
        came_from = before.previous_revision if before is not None else 0
        return rollout.Facts(
            slots=slots,
            outdated=outdated,
            in_flight=update.in_flight(self._trial.update, self._unsettled),
            failed=self._trial.failed,
            reason=self._trial.reason,
            running=max((*(task.revision for task in self._outdated), *self._roll.outdated.values()), default=0),
            returns=bool(came_from) and not self._wanted.differs_from(came_from),
        )

    def _move(self, slot: Slot, mover: Mover) -> None:
        if mover.running and self._starts_first():
            self._refill(slot, beside=True, home=self._leaving.get(mover.task.id, ""))
        elif not mover.running or mover.outdated or not self._stays(mover.task):
            self._draft.stop(mover.task, TaskState.SHUTDOWN, self._why_moved(mover.task))
            self._steps += mover.outdated

    def _stays(self, task: Task) -> bool:
        """What serves is not given up for what cannot be placed, as long as a drain has time."""
        counts = counts_by_node(self._draft, self._roll, self._slots)
        why = self._placing.nowhere(task.slot, counts)
        if why:
            self._draft.unplaced.add(self._id)
            self._problems.add(self._misplaced.stays(task, why))
        return bool(why)

    def _why_moved(self, task: Task) -> str:
        return "replaced by an update" if self._wanted.differs(task) else self._misplaced.moved(task)

    def _place(self) -> None:
        if not self._needs and not self._gate.held:
            return
        slots, counts = list(self._slots.values()), counts_by_node(self._draft, self._roll, self._slots)
        self._problems.update(self._gate.place(self._id, counts))
        draft, demand, placing = self._draft, self._demand, self._placing
        if self._is_global:
            for key, need in self._needs:
                self._problems.add(placing.on(draft.ledger.hosts[str(key)], need, 0))
            self._steps += placing.besides
            return
        failing = history.failing_nodes(draft, slots) | {node for slot in slots for node in restart.left(slot.ended)}
        held = held_back(draft, self._spec, demand, self._needs, self._slots)
        needs = in_order(need for _, need in held)
        self._problems.update(placing.spread(needs, counts, failing))
        self._steps += placing.besides

    @cached_property
    def _placing(self) -> Placing:
        return Placing(
            self._draft, service_id=self._id, spec=self._spec, revision=self._wanted.revision, demand=self._demand
        )

    def _tell(self, progress: UpdateStatus | None, fronts: Fronts) -> None:
        status = ServiceStatus(
            service_id=self._id,
            problems=sorted(self._problems - {""})[:10],
            virtual_addresses=fronts.virtual_addresses,
            mesh_ports=fronts.mesh_ports,
            rebalanced_at_ms=self._evened_at_ms,
        )
        if progress is not None:
            status.update.CopyFrom(progress)
            if self._steps and progress.state in rollout.WATCHED:
                status.update.last_step_at_ms = self._draft.now_ms
        self._draft.tell(status)
