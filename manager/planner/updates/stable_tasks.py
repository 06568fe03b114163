"""Stable tasks: while canaries wait for promotion, all other slots are filled and moved with the template from before.

A slot that is no canary keeps the template from before the update, whatever happens to it: its task ends, its node is
drained or no longer admitted, the service is scaled or evened out.
"""

from functools import cached_property

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots, SlotKey
from manager.planner.scheduler.placement_request import PlacementRequest, pending_first
from manager.planner.scheduler.placer import Placer
from manager.planner.slots import restart_policy
from manager.planner.slots.misplaced import MisplacedTasks
from manager.planner.slots.single_writer import await_predecessors
from manager.planner.slots.slot_tasks import Slot
from manager.planner.spec.requirements import requirements_of
from manager.planner.updates.update_pace import UnavailableSlot
from shoal.api.v1.service_pb2 import Service, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState


class StableTasks:
    """Those of one service in one pass: what they need is gathered, and placed by `place`.

    Attributes:
        demand: what each of them asks of a node.
        misplaced: tells which of them are to leave their nodes.
        unavailable: slots that have no task that serves, for the pace of further moves.
    """

    def __init__(self, draft: Draft, service_id: str, spec: ServiceSpec, revision: int, index: ServiceSlots) -> None:
        self._draft = draft
        self._service_id, self._spec, self._revision = service_id, spec, revision
        self._is_global = spec.HasField("global")
        self._requests: list[tuple[SlotKey, PlacementRequest]] = []
        self.demand = requirements_of(spec, draft.view.networks)
        self.misplaced = MisplacedTasks(draft, self.demand, index, is_global=self._is_global)
        self.unavailable: list[UnavailableSlot] = []

    @cached_property
    def placer(self) -> Placer:
        """Where they can go."""
        return Placer(
            self._draft, service_id=self._service_id, spec=self._spec, revision=self._revision, demand=self.demand
        )

    def fill(self, slot: Slot) -> None:
        """Give the slot, which has no task on a node, its next one, once that is due and the one before has ended."""
        pending = slot.active[-1] if slot.active else None
        attempt = pending.attempt if pending is not None else 0
        if pending is None:
            if slot.stopping:
                self.unavailable.append(UnavailableSlot())
                return
            ended = slot.restart_candidate()
            due = self._next_attempt(slot, ended) if ended is not None else 0
            if due is None:
                return
            attempt = due
        self._retire_ended(slot)
        self.unavailable.append(UnavailableSlot(pending=pending is not None, crashing=attempt > 0))
        self._requests.append((slot.key, PlacementRequest(_slot_number(slot), attempt, pending)))

    def await_ready(self, task: Task) -> None:
        """The task is not ready yet: no other one moves before it is."""
        self.unavailable.append(UnavailableSlot(task.created_at_ms, crashing=task.attempt > 0))

    def may_start_first(self, slot: Slot) -> bool:
        """Whether a successor may be started beside the slot's task: not soon after one has failed there."""
        ended = slot.restart_candidate()
        return ended is None or ended.revision != self._revision or self._next_attempt(slot, ended) is not None

    def start_first(self, slot: Slot, preferred_node: str) -> None:
        """Start a successor beside the slot's task.

        Args:
            preferred_node: the node that it goes to when it fits there; empty: any.
        """
        self._retire_ended(slot)
        self._requests.append(
            (slot.key, PlacementRequest(_slot_number(slot), start_first=True, preferred_node=preferred_node))
        )

    def place(self, slots: dict[SlotKey, Slot], counts: dict[str, int]) -> list[str]:
        """Write the tasks; why some are not placed.

        Args:
            slots: the service's, as they were when the pass began.
            counts: the service's wanted tasks by node; kept up.
        """
        if not self._requests:
            return []
        if self._is_global:
            return [
                self.placer.place_on(self._draft.resources.hosts[str(key)], need, 0) for key, need in self._requests
            ]
        requests = await_predecessors(self._draft, self._spec, self.demand, self._requests, slots)
        return self.placer.place_all(pending_first(need for _, need in requests), counts, ())

    def _next_attempt(self, slot: Slot, ended: Task) -> int | None:
        """Which attempt the successor of the ended task is; None while, or because, there is to be none."""
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if task.revision == ended.revision]
        decision = restart_policy.decide(self._spec.task.restart, ends, now_ms=self._draft.now_ms)
        if decision.due_ms is None:
            return None
        if decision.due_ms > self._draft.now_ms:
            self._draft.requeue_at(self._service_id, decision.due_ms)
            self.unavailable.append(UnavailableSlot(crashing=True))
            return None
        return decision.attempt

    def _retire_ended(self, slot: Slot) -> None:
        """The ends in the slot have been answered."""
        for task in slot.ended:
            self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")


def stable_spec(draft: Draft, service: Service, update: UpdateStatus) -> ServiceSpec | None:
    """The service's spec with the template from before the update; None when that is not known any more.

    The placement is the newest, since it counts for every task, but for the platforms, which are the image's.
    """
    earlier = draft.view.revision_of(service.meta.id, update.previous_revision)
    if earlier is None:
        return None
    made = ServiceSpec()
    made.CopyFrom(service.spec)
    made.task.CopyFrom(earlier.spec.task)
    made.task.placement.CopyFrom(service.spec.task.placement)
    del made.task.placement.platforms[:]
    made.task.placement.platforms.extend(earlier.spec.task.placement.platforms)
    made.endpoint.CopyFrom(earlier.spec.endpoint)
    return made


def _slot_number(slot: Slot) -> int:
    return slot.key if isinstance(slot.key, int) else 0
