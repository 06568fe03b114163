"""Stable tasks: while canaries wait for promotion, all other slots are filled and moved with the template from before.

A slot that is no canary keeps the template from before the update, whatever happens: its task ends, its node is drained
or no longer meets the placement, the service is scaled or rebalanced.
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
from manager.planner.updates.pass_decisions import PassDecisions
from manager.planner.updates.update_pace import UnavailableSlot
from shoal.api.v1.service_pb2 import Service, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState


class StableTasks:
    """The stable tasks of one service in one pass: gathered, then placed by `place`.

    Attributes:
        demand: what each of them asks of a node.
        misplaced: which of them are to leave their nodes.
    """

    def __init__(
        self,
        draft: Draft,
        service_id: str,
        spec: ServiceSpec,
        revision: int,
        index: ServiceSlots,
        decisions: PassDecisions,
    ) -> None:
        self._draft = draft
        self._service_id, self._spec, self._revision = service_id, spec, revision
        self._is_global = spec.HasField("global")
        self._decisions = decisions
        self.demand = requirements_of(spec, draft.view.networks)
        self.misplaced = MisplacedTasks(draft, self.demand, index, is_global=self._is_global)

    @cached_property
    def placer(self) -> Placer:
        """Where they can go."""
        return Placer(
            self._draft, service_id=self._service_id, spec=self._spec, revision=self._revision, demand=self.demand
        )

    def fill(self, slot: Slot) -> None:
        """Request the next task of the slot, which has none on a node, once it is due and the one before has ended."""
        pending = slot.active[-1] if slot.active else None
        attempt = pending.attempt if pending is not None else 0
        if pending is None:
            if slot.stopping:
                self._decisions.stable_unavailable.append(UnavailableSlot())
                return
            ended = slot.restart_candidate()
            due = self._next_attempt(slot, ended) if ended is not None else 0
            if due is None:
                return
            attempt = due
        self._retire_ended(slot)
        self._decisions.stable_unavailable.append(UnavailableSlot(pending=pending is not None, crashing=attempt > 0))
        self._decisions.stable_requests.append((slot.key, PlacementRequest(_slot_number(slot), attempt, pending)))

    def await_ready(self, task: Task) -> None:
        """The task is not ready yet: no other one moves before it is."""
        self._decisions.stable_unavailable.append(UnavailableSlot(task.created_at_ms, crashing=task.attempt > 0))

    def may_start_first(self, slot: Slot) -> bool:
        """Whether a successor may start before the slot's task is stopped: not soon after one has failed there."""
        ended = slot.restart_candidate()
        return ended is None or ended.revision != self._revision or self._next_attempt(slot, ended) is not None

    def start_first(self, slot: Slot, preferred_node: str) -> None:
        """Start a successor before the slot's task is stopped.

        Args:
            preferred_node: the node that it goes to when it fits there; empty: any.
        """
        self._retire_ended(slot)
        self._decisions.stable_requests.append(
            (slot.key, PlacementRequest(_slot_number(slot), start_first=True, preferred_node=preferred_node))
        )

    def place(self, slots: dict[SlotKey, Slot], counts: dict[str, int]) -> list[str]:
        """Place the requested tasks; why some are not placed.

        Args:
            slots: the service's, as they were when the pass began.
            counts: the service's active tasks by node; updated.
        """
        if not self._decisions.stable_requests:
            return []
        if self._is_global:
            return [
                self.placer.place_on(self._draft.resources.hosts[str(key)], request, 0)
                for key, request in self._decisions.stable_requests
            ]
        requests = await_predecessors(self._draft, self._spec, self.demand, self._decisions.stable_requests, slots)
        return self.placer.place_all(pending_first(request for _, request in requests), counts, ())

    def _next_attempt(self, slot: Slot, ended: Task) -> int | None:
        """The attempt of the ended task's successor; None when there is none, now or for good."""
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if task.revision == ended.revision]
        decision = restart_policy.decide(self._spec.task.restart, ends, now_ms=self._draft.now_ms)
        if decision.due_ms is None:
            return None
        if decision.due_ms > self._draft.now_ms:
            self._draft.requeue_at(self._service_id, decision.due_ms)
            self._decisions.stable_unavailable.append(UnavailableSlot(crashing=True))
            return None
        return decision.attempt

    def _retire_ended(self, slot: Slot) -> None:
        """Stop the ended tasks of the slot: their successor is decided."""
        for task in slot.ended:
            self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")


def stable_spec(draft: Draft, service: Service, update: UpdateStatus) -> ServiceSpec | None:
    """The service's spec with the template from before the update; None when its revision is gone.

    The placement is the newest, since it applies to every task, but for the platforms, which are the image's.
    """
    earlier = draft.view.revision_of(service.meta.id, update.previous_revision)
    if earlier is None:
        return None
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    spec.task.CopyFrom(earlier.spec.task)
    spec.task.placement.CopyFrom(service.spec.task.placement)
    del spec.task.placement.platforms[:]
    spec.task.placement.platforms.extend(earlier.spec.task.placement.platforms)
    spec.endpoint.CopyFrom(earlier.spec.endpoint)
    return spec


def _slot_number(slot: Slot) -> int:
    return slot.key if isinstance(slot.key, int) else 0
