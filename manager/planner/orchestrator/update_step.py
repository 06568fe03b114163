"""The next step of a service's update, drain or move: which of the candidates are replaced in this pass."""

from collections.abc import Mapping

from manager.planner.index.slot_index import SlotKey
from manager.planner.orchestrator.pass_decisions import PassDecisions
from manager.planner.orchestrator.service_context import ServiceContext
from manager.planner.slots.slot_tasks import Slot, counts_by_node
from manager.planner.updates import update_pace, update_state
from manager.planner.updates.stable_tasks import StableTasks
from manager.planner.updates.update_pace import Replacement
from shoal.api.v1.service_pb2 import UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState


class UpdateStep:
    """That of one service in one pass.

    Args:
        slots: those that were dirty when the pass began.

    Attributes:
        replaced: how many outdated tasks are stopped; successors that are started first are not counted.
        moved_at_ms: when a misplaced task was last moved, 0: never. Milliseconds since the Unix epoch.
        misplaced_first: of how many misplaced tasks a successor is to be started first.
    """

    def __init__(self, context: ServiceContext, decisions: PassDecisions, slots: Mapping[SlotKey, Slot]) -> None:
        self._context, self._decisions, self._slots = context, decisions, slots
        self.replaced = 0
        self.moved_at_ms = context.known.last_move_at_ms
        self.misplaced_first = 0

    def advance(self, size: int) -> UpdateStatus | None:
        """Take the step; the status of the update after it.

        Args:
            size: how many slots the service has.
        """
        context, now_ms = self._context, self._context.draft.now_ms
        newest = context.newest
        outdated = len(self._decisions.outdated) + len(context.index.outdated) + len(self._decisions.stable_slots)
        before = context.known.update if context.known.HasField("update") else None
        progress = update_state.advance(
            before,
            self._observed(size, outdated, before),
            spec=newest.spec,
            task_revision=newest.task_revision,
            control=newest.update_control,
            now_ms=now_ms,
        )
        # An update to an earlier template does not apply any more.
        update = progress if progress is not None and progress.task_revision == newest.task_revision else None
        if update is not None and update.effective_revision != context.monitor.effective_revision:
            return progress  # what was observed is not of the template that is effective from now on
        policy = update_state.config_of(newest.spec, update)
        step = self._next_step(policy, update, canaries=size - outdated + context.gate.extra_canaries)
        for due in (step.next_due_ms, update_state.deadline_at_ms(update, newest.spec)):
            if due is not None and due > now_ms:
                context.draft.requeue_at(context.service_id, due)
        self._apply(step, policy)
        return progress

    def _next_step(self, policy: UpdateConfig, update: UpdateStatus | None, *, canaries: int) -> update_pace.Step:
        step = update_pace.next_step(
            policy,
            update,
            [replacement for _, replacement in self._decisions.replacements],
            self._decisions.unavailable,
            self._context.draft.now_ms,
            stable_unavailable=self._decisions.stable_unavailable,
            moved_at_ms=self._context.known.last_move_at_ms,
        )
        return update_pace.limit_to_canaries(step, policy, update, canaries=canaries)

    def _observed(self, slots: int, outdated: int, before: UpdateStatus | None) -> update_state.Observed:
        context, decisions = self._context, self._decisions
        return update_state.Observed(
            slots=slots,
            outdated=outdated,
            extra_canaries=context.gate.extra_canaries,
            in_flight=update_pace.in_flight(context.monitor.update, decisions.unavailable) + len(decisions.expected),
            failed=context.monitor.failed,
            reason=context.monitor.reason,
            running_revision=context.gate.running_revision
            or max((*(task.revision for task in decisions.outdated), *context.index.outdated.values()), default=0),
            reverts=update_state.reverts(before, context.desired.differs_from),
        )

    def _apply(self, step: update_pace.Step, policy: UpdateConfig) -> None:
        chosen = {replacement.task.id for replacement in step.replace}
        for slot, each in self._decisions.replacements:
            if each.task.id in chosen:
                self._replace(slot, each, policy)
            elif each.ready and each.outdated and not each.leaving and [*slot.all()] == [each.task]:
                self._context.index.settle_outdated(slot.key, each.task)

    def _replace(self, slot: Slot, replacement: Replacement, policy: UpdateConfig) -> None:
        context, task = self._context, replacement.task
        node = context.rebalancing.get(task.id, "")
        stable = context.gate.stable if context.desired.differs(task) and not replacement.outdated else None
        if replacement.ready and context.starts_first(policy, stable):
            started = (
                stable.start_first(slot, node)
                if stable
                else context.successors.refill(slot, start_first=True, preferred_node=node)
            )
            self._decisions.add(slot, started)
            self.misplaced_first += replacement.misplaced
        elif not replacement.ready or replacement.outdated or not self._must_stay(task, stable):
            why = stable.misplaced.move_reason(task) if stable else context.move_reason(task)
            context.draft.stop(task, TaskState.SHUTDOWN, why)
            self.replaced += replacement.outdated
            if replacement.misplaced and replacement.ready:
                self.moved_at_ms = context.draft.now_ms

    def _must_stay(self, task: Task, stable: StableTasks | None) -> bool:
        """A ready task is not stopped for one that cannot be placed, until the drain deadline."""
        context = self._context
        counts = counts_by_node(context.draft, context.index, self._slots)
        why = (stable or context.successors).placer.why_unplaceable(task.slot, counts)
        if why:
            context.draft.blocked.add(context.service_id)
            self._decisions.problems.add((stable or context).misplaced.stay_problem(task, why))
        return bool(why)
