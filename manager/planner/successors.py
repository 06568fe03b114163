"""The tasks of the template in force that a service's slots need: gathered slot by slot, then placed as one batch."""

from collections.abc import Mapping
from functools import cached_property

from manager.planner import history, restart
from manager.planner.demand import Demand
from manager.planner.draft import Draft
from manager.planner.need import Need, in_order
from manager.planner.place import Placing
from manager.planner.predecessors import held_back
from manager.planner.rolls import Key
from manager.planner.slots import Slot
from manager.planner.template import Wanted
from manager.planner.trial import Trial
from manager.planner.update import Unsettled
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import TaskState


class Successors:
    """Those of one service in one pass.

    Attributes:
        needs: tasks to be written.
        unsettled: slots that have no task that counts, and none that could be replaced.
        problems: why there are none, one line each for the user.
    """

    def __init__(self, draft: Draft, service: Service, wanted: Wanted, demand: Demand, trial: Trial) -> None:
        """`service` is as it is in force."""
        self._draft = draft
        self._id, self._spec = service.meta.id, service.spec
        self._is_global = service.spec.HasField("global")
        self._wanted, self._demand, self._trial = wanted, demand, trial
        self.needs: list[tuple[Key, Need]] = []
        self.unsettled: list[Unsettled] = []
        self.problems: set[str] = set()

    @cached_property
    def placing(self) -> Placing:
        """Where they can go."""
        return Placing(
            self._draft, service_id=self._id, spec=self._spec, revision=self._wanted.revision, demand=self._demand
        )

    def refill(self, slot: Slot, *, beside: bool, home: str = "") -> None:
        """Fill a slot that has no task to run, unless the restart policy says later or never.

        Args:
            beside: it has one, which the successor is started beside.
            home: the node that its next task goes to, when it fits there.
        """
        ended = slot.last_end()
        attempt = 0
        if ended is not None and not self._wanted.differs(ended):
            verdict = self.answer(slot)
            if verdict.due_ms is None or verdict.due_ms > self._draft.now_ms:
                return
            attempt = verdict.attempt
        elif slot.ended and not self._wanted.differs(newest := slot.ended[-1]):
            attempt = restart.next_attempt(newest, self._draft.view.task_status.get(newest.id))
        self.close(slot)
        if not beside:
            # A node that a global service cannot fill has no record that would say so.
            hopeless = self._is_global and not any(slot.all())
            failed = self._trial.has_failed(slot)
            self.unsettled.append(Unsettled(pending=hopeless, crashing=attempt > 0, failed=failed))
        number = slot.key if isinstance(slot.key, int) else 0
        home = restart.home(slot.ended) if attempt and not beside else home
        self.needs.append((slot.key, Need(number, attempt, beside=beside, home=home)))

    def may_start_beside(self, slot: Slot) -> bool:
        """Whether a successor may be started beside the slot's task: not soon after one has failed there."""
        if (ended := slot.last_end()) is None or self._wanted.differs(ended):
            return True
        verdict = self.answer(slot)
        return verdict.due_ms is not None and verdict.due_ms <= self._draft.now_ms

    def close(self, slot: Slot) -> None:
        """The ends in the slot have been answered."""
        for task in slot.ended:
            self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")

    def answer(self, slot: Slot) -> restart.Verdict:
        """What follows the slot's last end, which is told where it is a problem."""
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if not self._wanted.differs(task)]
        verdict = restart.answer(self._spec.task.restart, ends, now_ms=self._draft.now_ms)
        if verdict.problem:
            self.problems.add(verdict.problem)
        if verdict.due_ms is not None and verdict.due_ms > self._draft.now_ms:
            self._draft.wake(self._id, verdict.due_ms)
        if verdict.problem or verdict.due_ms is not None:
            self.unsettled.append(Unsettled(crashing=True, failed=self._trial.has_failed(slot)))
        return verdict

    def place(self, slots: Mapping[Key, Slot], counts: dict[str, int]) -> int:
        """Write the tasks; how many are beside their predecessors.

        Args:
            slots: the service's, as they were when the pass began.
            counts: the service's wanted tasks by node; kept up.
        """
        if not self.needs:
            return 0
        draft, every, placing = self._draft, list(slots.values()), self.placing
        if self._is_global:
            self.problems.update(placing.on(draft.ledger.hosts[str(key)], need, 0) for key, need in self.needs)
            return placing.besides
        failing = history.failing_nodes(draft, every) | {node for slot in every for node in restart.left(slot.ended)}
        held = held_back(draft, self._spec, self._demand, self.needs, slots)
        self.problems.update(placing.spread(in_order(need for _, need in held), counts, failing))
        return placing.besides
