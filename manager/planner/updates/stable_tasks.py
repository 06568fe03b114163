"""Stable tasks: while canaries wait for promotion, all other slots are filled and moved with the template from before.

A slot that is no canary keeps the template from before the update, whatever happens: its task ends, its node is drained
or no longer meets the placement, the service is scaled or rebalanced.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots, SlotKey
from manager.planner.scheduler.placement_request import PlacementRequest, pending_first
from manager.planner.scheduler.placer import Placer
from manager.planner.slots.misplaced import MisplacedTasks
from manager.planner.slots.single_writer import await_predecessors
from manager.planner.slots.slot_tasks import Slot, retire_ended
from manager.planner.slots.task_history import with_restarts
from manager.planner.spec.requirements import requirements_of
from manager.planner.updates.slot_decision import NOTHING, SlotDecision
from manager.planner.updates.update_pace import UnavailableSlot
from shoal.api.v1.service_pb2 import Service, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task
from shoal.restarts import restart_policy


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
    ) -> None:
        self._draft = draft
        self._service_id, self._spec, self._revision = service_id, spec, revision
        self._is_global = spec.HasField("global")
        self.demand = requirements_of(spec, draft.view.networks)
        self.misplaced = MisplacedTasks(draft, self.demand, index, is_global=self._is_global)

    @cached_property
    def placer(self) -> Placer:
        """Where they can go."""
        return Placer(
            self._draft, service_id=self._service_id, spec=self._spec, revision=self._revision, demand=self.demand
        )

    def fill(self, slot: Slot) -> SlotDecision:
        """Request the next task of the slot, which has none on a node, once it is due and the one before has ended."""
        pending = slot.active[-1] if slot.active else None
        attempt = pending.attempt if pending is not None else 0
        if pending is None:
            if slot.stopping:
                return SlotDecision(is_stable=True, stable_unavailable=UnavailableSlot())
            ended = slot.restart_candidate()
            if ended is not None:
                restart = self._decide_restart(slot, ended)
                if restart.due_ms is None or restart.due_ms > self._draft.now_ms:
                    return _await_restart(restart)._replace(is_stable=True)
                attempt = restart.attempt
        return SlotDecision(
            is_stable=True,
            stops=retire_ended(slot),
            stable_unavailable=UnavailableSlot(pending=pending is not None, crashing=attempt > 0),
            stable_requests=(PlacementRequest(_slot_number(slot), attempt, pending),),
        )

    def failed_first(self, slot: Slot) -> SlotDecision | None:
        """What follows when a successor that was started first has failed; None when another one may be started."""
        ended = slot.restart_candidate()
        if ended is None or ended.revision != self._revision:
            return None
        restart = self._decide_restart(slot, ended)
        is_due = restart.due_ms is not None and restart.due_ms <= self._draft.now_ms
        return None if is_due else _await_restart(restart)

    def start_first(self, slot: Slot, preferred_node: str) -> SlotDecision:
        """Start a successor before the slot's task is stopped.

        Args:
            preferred_node: the node that it goes to when it fits there; empty: any.
        """
        request = PlacementRequest(_slot_number(slot), start_first=True, preferred_node=preferred_node)
        return SlotDecision(stops=retire_ended(slot), stable_requests=(request,))

    def place(
        self,
        requests: Sequence[tuple[SlotKey, PlacementRequest]],
        slots: Mapping[SlotKey, Slot],
        counts: dict[str, int],
    ) -> list[str]:
        """Place the requested tasks; why some are not placed.

        Args:
            slots: the service's, as they were when the pass began.
            counts: the service's active tasks by node; updated.
        """
        policy, revision = self._spec.task.restart, self._revision
        requests = with_restarts(self._draft, requests, slots, policy, lambda task: task.revision == revision)
        if self._is_global:
            hosts = self._draft.resources.hosts
            return [self.placer.place_on(hosts[str(key)], request, 0) for key, request in requests]
        requests = await_predecessors(self._draft, self._spec, self.demand, requests, slots)
        return self.placer.place_all(pending_first(request for _, request in requests), counts, ())

    def _decide_restart(self, slot: Slot, ended: Task) -> restart_policy.RestartDecision:
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if task.revision == ended.revision]
        return restart_policy.decide(self._spec.task.restart, ends, now_ms=self._draft.now_ms)


def _await_restart(restart: restart_policy.RestartDecision) -> SlotDecision:
    """The slot gets no task now: its restart is due later, or never."""
    if restart.due_ms is None:
        return NOTHING
    return SlotDecision(requeue_at_ms=restart.due_ms, stable_unavailable=UnavailableSlot(crashing=True))


def await_ready(task: Task) -> UnavailableSlot:
    """The stable task is not ready yet: no other one moves before it is."""
    return UnavailableSlot(task.created_at_ms, crashing=task.attempt > 0)


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
