"""The canaries' gate: until an update is promoted, only so many slots run its template, whatever becomes of the others.

Slots that are new (the service was scaled, even from 0, or together with its template) or whose tasks have ended get
what ran before, unless there are fewer canaries than asked for. So nothing but the promotion promotes. A canary whose
task ends, or moves, keeps its slot. A paused update makes no canaries.
"""

from collections.abc import Iterable, Mapping

from manager.planner import rollout
from manager.planner.draft import Draft
from manager.planner.rolls import Key, Roll
from manager.planner.slots import Slot, age
from manager.planner.stable import StableTasks, stable_spec
from manager.planner.template import Wanted
from manager.planner.update import Unsettled
from shoal.api.v1.service_pb2 import Service, UpdateStatus
from shoal.api.v1.task_pb2 import TaskState


class Gate:
    """That of one service in one pass; open when nothing waits for a promotion.

    Attributes:
        stable: the tasks of what ran before; None when the gate is open.
        held: slots that get, or wait for, a task of what ran before.
        elsewhere: canaries on nodes that get no tasks at the moment (of a global service: paused ones).
        running: the newest revision that the tasks run when the update begins with this pass, else 0.
    """

    def __init__(self, draft: Draft, newest: Service, in_force: Service, wanted: Wanted, update: UpdateStatus | None):
        """`update` is that to the newest template, as it stands; None when it has not begun."""
        self._draft = draft
        self._newest, self._in_force = newest, in_force
        self._wanted = wanted
        self._update = update
        self._left = 0
        self._reserved: frozenset[Key] = frozenset()
        self.stable: StableTasks | None = None
        self.held = 0
        self.elsewhere = 0
        self.running = 0

    def begin(self, roll: Roll, kept: list[Slot], slots: Mapping[Key, Slot]) -> None:
        """Count the canaries that there are, once it is settled which slots stay.

        Args:
            kept: the loud ones of them.
            slots: all that are loud: the others are given up, or stay as they are and are not decided about.
        """
        if not self._newest.spec.update.canary:
            return
        update = self._update or self._beginning(roll, kept)
        if update is None or not rollout.awaits_promotion(update, self._newest.spec.update):
            return
        spec = stable_spec(self._draft, self._in_force, update)
        if spec is None:
            return
        self.stable = StableTasks(self._draft, self._newest.meta.id, spec, update.previous_revision, roll)
        self.elsewhere = self._count_elsewhere({slot.key for slot in kept}, slots)
        known = len(roll.quiet) - len(roll.outdated) + sum(map(self._is_canary, kept)) + self.elsewhere
        missing = max(0, self._newest.spec.update.canary - known)
        self._reserved = frozenset(sorted((slot.key for slot in kept if self._was_canary(slot)), key=str)[:missing])
        self._left = 0 if update.state == UpdateStatus.PAUSED else missing - len(self._reserved)

    @property
    def effects(self) -> int:
        """Changes with what a decision about a slot leaves for later."""
        return self.held + (len(self.stable.moving) if self.stable is not None else 0)

    @property
    def is_full(self) -> bool:
        """No slot but the canaries' gets the new template."""
        return not self._left

    def holds(self, slot: Slot) -> bool:
        """Whether the slot, which has no task on a node, is filled with what ran before and not by the update."""
        if self.stable is None or self._is_canary(slot) or any(task.node_id for task in slot.wanted):
            return False
        if slot.key in self._reserved:
            return False
        if self._left:
            self._left -= 1
            return False
        self.held += 1
        self.stable.fill(slot)
        return True

    def await_end(self) -> None:
        """A slot whose tasks are stopped in this pass is filled with what ran before once they have ended."""
        self.held += 1
        if self.stable is not None:
            self.stable.moving.append(Unsettled())

    def _count_elsewhere(self, kept: set[Key], slots: Mapping[Key, Slot]) -> int:
        others = [slot for key, slot in slots.items() if key not in kept]
        return sum(self._is_canary(slot) and not any(map(self._draft.is_stopping, slot.wanted)) for slot in others)

    def _is_canary(self, slot: Slot) -> bool:
        return any(not self._wanted.differs(task) for task in slot.wanted)

    def _was_canary(self, slot: Slot) -> bool:
        """The slot has nothing that is to run, and what was there last ran the new template."""
        if slot.wanted:
            return False
        newest = max((*slot.stopping, *slot.away, *slot.ended), key=age, default=None)
        return newest is not None and newest.desired_state < TaskState.REMOVE and not self._wanted.differs(newest)

    def _beginning(self, roll: Roll, kept: Iterable[Slot]) -> UpdateStatus | None:
        """The update as this pass begins it; None when it does not, since nothing runs that is to be replaced."""
        tasks = (task for slot in kept for task in slot.wanted if task.node_id)
        outdated = [task.revision for task in tasks if self._wanted.differs(task)]
        self.running = max((*outdated, *roll.outdated.values()), default=0)
        if not self.running:
            return None
        known = self._draft.view.service_status.get(self._newest.meta.id)
        before = known.update if known is not None and known.HasField("update") else None
        facts = rollout.Facts(slots=0, running=self.running, returns=rollout.returns(before, self._wanted.differs_from))
        return rollout.begun(before, facts, self._newest.task_revision, self._newest.steering, self._draft.now_ms)
