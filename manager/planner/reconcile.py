"""One service: which slots there are, what each of them needs, and what follows for its tasks."""

from functools import partial

from manager.planner import drain, history, rollout, update
from manager.planner.demand import Demand, demand_of
from manager.planner.dependencies import hold_back
from manager.planner.draft import Draft
from manager.planner.effective import current_update, effective
from manager.planner.evening import carried_out_ms, wake_leaving
from manager.planner.fronts import Fronts, plan_fronts
from manager.planner.gate import Gate
from manager.planner.homes import Homes
from manager.planner.misplaced import Misplaced
from manager.planner.need import Need
from manager.planner.replicas import choose_nodes, choose_slots, follow_slots
from manager.planner.rolls import Key
from manager.planner.shared_network import SharedNetwork, sever
from manager.planner.slots import Slot, counts_by_node, keep_best, release, rest, rest_the_obvious, slots_of, stop
from manager.planner.stable import StableTasks
from manager.planner.successors import Successors
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
        self._gate = Gate(draft, service, self._service, self._wanted, self._trial.update)
        self._homes = Homes(draft, self._id, self._spec)
        self._shared = SharedNetwork(draft, self._spec)
        self._roll = draft.rolls.roll(self._id)
        self._size = 0
        self._slots: dict[Key, Slot] = {}
        self._leaving: dict[str, str] = {}
        self._evened_at_ms = carried_out_ms(draft, self._id)
        self._successors = Successors(draft, self._service, self._wanted, self._demand, self._trial)
        self._needs = self._successors.needs
        self._movers: list[tuple[Slot, Mover]] = []
        self._unsettled = self._successors.unsettled
        self._outdated: list[Task] = []
        self._problems = self._successors.problems
        self._steps = 0
        self._moves_beside = 0
        self._unproven = 0
        self._known = draft.view.service_status.get(self._id) or ServiceStatus()
        self._moved_at_ms = self._known.moved_at_ms

    def run(self) -> None:
        self._roll.follow(self._wanted.revision, self._trial.since_ms)
        self.misplaced = Misplaced(self._draft, self._demand, self._roll, is_global=self._is_global)
        if self._is_shrinking():
            self._roll.wake_all()
        elif not (self._is_global or self._trial.is_on or self._homes or self._shared):
            canaries = bool(self._newest.spec.update.canary)
            misplaced = self.misplaced.why if self.misplaced else None
            rest_the_obvious(self._draft, self._roll, self._wanted, misplaced, canaries=canaries)
        self._roll.wake_outdated(max(1, self._newest.spec.update.parallelism, self._newest.spec.rollback.parallelism))
        self._leaving = self._find_leaving()
        slots = self._slots = slots_of(self._draft, self._roll)
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
        found = wake_leaving(self._draft, self._service, self._roll, self._demand)
        if found is None:
            self._evened_at_ms = self._newest.rebalance_at_ms
        return found or {}

    def _is_shrinking(self) -> bool:
        return not self._is_global and len(self._roll.quiet) > self._spec.replicated.replicas

    def _effects(self) -> tuple[int, ...]:
        """Changes with everything that a decision about a slot does, or leaves for the stages after it."""
        left = len(self._needs), len(self._movers), len(self._unsettled), len(self._outdated), len(self._problems)
        return self._draft.effects, self._gate.effects, *left

    def _replica_slots(self, slots: dict[Key, Slot]) -> list[Slot]:
        replicas = self._spec.replicated.replicas
        if self._shared:
            choice = follow_slots(self._draft, slots, self._roll, partial(self._shared.numbers, replicas))
        else:
            choice = choose_slots(self._draft, slots, self._roll, replicas, home=self._homes.node())
        for slot in choice.release:
            release(self._draft, slot, "scaled down")
        self._size = len(choice.keep) + len(choice.fresh) + len(self._roll.quiet)
        self._gate.begin(self._roll, choice.keep, slots)
        fresh = choice.fresh
        if self._gate.stable:
            fresh = [number for number in fresh if not self._gate.holds(Slot(number))]
        self._needs += [(number, Need(number)) for number in fresh]
        self._unsettled += [Unsettled()] * len(fresh)
        return choice.keep

    def _global_slots(self, slots: dict[Key, Slot]) -> list[Slot]:
        fit = choose_nodes(self._draft, slots, self._demand, self._shared.admits if self._shared else None)
        self._size = len(fit)
        quiet = self._roll.quiet
        kept = [slots.setdefault(identifier, Slot(identifier)) for identifier in fit if identifier not in quiet]
        self._gate.begin(self._roll, kept, slots)
        return kept

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
            self._successors.close(slot)
            best = keep_best(self._draft, fresh, "another task has its slot")
            self._keep_fresh(slot, best, kept)
            if best.node_id and self._wanted.is_behind(best):
                self._draft.renumber(best, self._wanted.revision)
        elif kept:
            self._decide_stale(slot, kept)
        elif stale and self._gate.stable and self._wanted.differs(stale[-1]):
            self._gate.await_end()
        elif slot.stopping or stale:
            self._unsettled.append(Unsettled())
        else:
            self._successors.refill(slot, beside=False)

    def _is_fresh(self, task: Task) -> bool:
        # One that no node has seen yet is written anew with the wanted revision, and so is never outdated.
        if not task.node_id:
            return True
        return not (self._is_leaving(task) or self.misplaced.why(task) or self._wanted.differs(task))

    def _is_leaving(self, task: Task) -> bool:
        # What shares another task's network leaves with that one.
        return not task.network_of and (self._draft.is_drained(task.node_id) or task.id in self._leaving)

    def _is_overdue(self, task: Task) -> bool:
        """Whether its node is being drained and the time to do so gently is over; it is stopped then."""
        if self._demand.single_node and self._draft.is_drained(task.node_id):
            self._draft.stop(task, TaskState.SHUTDOWN, "its node is drained, and its volume is on one at a time")
            return True
        return drain.is_over(self._draft, task)

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

    def _decide_stale(self, slot: Slot, tasks: list[Task]) -> None:
        """None of the tasks is to stay as it is; but before a promotion what ran before is, where it may be."""
        stable = self._gate.stable if all(map(self._wanted.differs, tasks)) else None
        settled = [task for task in tasks if not self._leaves(task, stable)] if stable else []
        best = keep_best(self._draft, settled or tasks, "another task has its slot")
        leaving = [task for task in tasks if task not in settled] if settled else []
        if not stable or not leaving:
            self._consider_moving(slot, best)
            return
        self._outdated.append(best)
        if is_ready(best, self._draft.view.task_status.get(best.id)):
            for task in leaving:
                self._draft.stop(task, TaskState.SHUTDOWN, stable.misplaced.moved(task))
        else:
            stable.wait(best)
            keep_best(self._draft, leaving, "another task has its slot")

    def _leaves(self, task: Task, stable: StableTasks | None) -> bool:
        return self._is_leaving(task) or bool((stable or self).misplaced.why(task))

    def _consider_moving(self, slot: Slot, task: Task) -> None:
        outdated = self._wanted.differs(task)
        stable = self._gate.stable if outdated else None
        serves = is_ready(task, self._draft.view.task_status.get(task.id))
        if outdated:
            self._outdated.append(task)
        elif not self._trial.is_proven(task) and not self._trial.has_failed(slot):
            self._unproven += 1
        if stable and not self._leaves(task, stable):
            if self._gate.is_full and not serves:
                stable.wait(task)
                return
            stable = None
        if self._starts_first(stable) and not (stable or self._successors).may_start_beside(slot):
            return  # the successor that was started beside it has failed
        misplaced = bool((stable or self).misplaced.why(task))
        self._movers.append((slot, Mover(task, serves, outdated and not stable, self._is_leaving(task), misplaced)))

    def _starts_first(self, stable: StableTasks | None) -> bool:
        """Its successor is started beside it, whatever it is replaced for, if ports and mounts allow it."""
        demand = stable.demand if stable else self._demand
        return self._policy.order == UpdateConfig.START_FIRST and demand.may_overlap

    def _update(self, slots: int) -> UpdateStatus | None:
        """Take the next step of an update or a drain; how the update stands then."""
        now_ms = self._draft.now_ms
        outdated = len(self._outdated) + len(self._roll.outdated) + self._gate.held
        before = self._known.update if self._known.HasField("update") else None
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
        movers = [mover for _, mover in self._movers]
        moving = self._gate.stable.moving if self._gate.stable else ()
        step = update.next_step(
            config, now, movers, self._unsettled, now_ms, moving=moving, moved_at_ms=self._known.moved_at_ms
        )
        canaries = slots - outdated + self._gate.elsewhere
        step = update.spare_the_rest(step, config, now, canaries=canaries)
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
        return rollout.Facts(
            slots=slots,
            outdated=outdated,
            elsewhere=self._gate.elsewhere,
            in_flight=update.in_flight(self._trial.update, self._unsettled) + self._unproven,
            failed=self._trial.failed,
            reason=self._trial.reason,
            running=self._gate.running
            or max((*(task.revision for task in self._outdated), *self._roll.outdated.values()), default=0),
            returns=rollout.returns(before, self._wanted.differs_from),
        )

    def _move(self, slot: Slot, mover: Mover) -> None:
        task, home = mover.task, self._leaving.get(mover.task.id, "")
        stable = self._gate.stable if self._wanted.differs(task) and not mover.outdated else None
        if mover.running and self._starts_first(stable):
            stable.start_beside(slot, home) if stable else self._successors.refill(slot, beside=True, home=home)
            self._moves_beside += mover.misplaced
        elif not mover.running or mover.outdated or not self._stays(task, stable):
            why = stable.misplaced.moved(task) if stable else self._why_moved(task)
            self._draft.stop(task, TaskState.SHUTDOWN, why)
            self._steps += mover.outdated
            if mover.misplaced and mover.running:
                self._moved_at_ms = self._draft.now_ms

    def _stays(self, task: Task, stable: StableTasks | None) -> bool:
        """What serves is not given up for what cannot be placed, as long as a drain has time."""
        counts = counts_by_node(self._draft, self._roll, self._slots)
        why = (stable or self._successors).placing.nowhere(task.slot, counts)
        if why:
            self._draft.unplaced.add(self._id)
            self._problems.add((stable or self).misplaced.stays(task, why))
        return bool(why)

    def _why_moved(self, task: Task) -> str:
        return "replaced by an update" if self._wanted.differs(task) else self.misplaced.moved(task)

    def _place(self) -> None:
        stable = self._gate.stable
        if not self._needs and not stable:
            return
        counts = counts_by_node(self._draft, self._roll, self._slots)
        if stable:
            self._problems.update(stable.place(self._slots, counts))
        besides = self._successors.place(self._slots, counts)
        self._steps += besides
        if self._moves_beside and (besides or (stable and stable.placing.besides)):
            self._moved_at_ms = self._draft.now_ms

    def _tell(self, progress: UpdateStatus | None, fronts: Fronts) -> None:
        status = ServiceStatus(
            service_id=self._id,
            problems=sorted(self._problems - {""})[:10],
            virtual_addresses=fronts.virtual_addresses,
            mesh_ports=fronts.mesh_ports,
            rebalanced_at_ms=self._evened_at_ms,
            moved_at_ms=self._moved_at_ms,
        )
        if progress is not None:
            status.update.CopyFrom(progress)
            if self._steps and progress.state in rollout.WATCHED:
                status.update.last_step_at_ms = self._draft.now_ms
        self._draft.tell(status)
