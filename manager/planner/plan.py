"""The planner as one pure function: from a view of the store to writes, and the time of the next pass."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from manager.planner.allocator.network_subnets import plan_subnets
from manager.planner.draft import Draft
from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.orchestrator.container_pass import plan_container
from manager.planner.orchestrator.job_pass import plan_job
from manager.planner.orchestrator.service_pass import plan_service
from manager.planner.orchestrator.service_removal import delete_stale_statuses, plan_removal
from manager.planner.quarantine import Quarantined, write_quarantine
from manager.planner.spec.service_modes import is_job
from manager.store.changes import Write
from manager.store.tables import View
from shoal.ids import NewId
from shoal.networks.network_modes import network_provider


@dataclass(frozen=True)
class Plan:
    """What to commit, and when to plan again though nothing changes.

    Attributes:
        writes: in a safe order: after any prefix of them, planning again leads to the same end.
        next_due_ms: milliseconds since the Unix epoch; None when nothing is due.
    """

    writes: tuple[Write, ...]
    next_due_ms: int | None


@dataclass(frozen=True)
class PlanScope:
    """What a pass plans.

    Attributes:
        services: ids of services and containers, also of removed ones.
        stale_statuses: ids of removed tasks that may have left a status.
    """

    services: Iterable[str]
    stale_statuses: Iterable[str]

    @staticmethod
    def full(view: View) -> "PlanScope":
        """Everything in the view."""
        return PlanScope(services_of(view), stale_statuses(view))


def services_of(view: View) -> set[str]:
    """Ids of all services and containers, also of removed ones that have left records."""
    services = set(view.services_with_tasks())
    services.update(
        view.services, view.containers, view.service_status, (key.partition("/")[0] for key in view.revisions)
    )
    return services


def stale_statuses(view: View) -> Iterable[str]:
    """Ids of removed tasks that have left a status."""
    reported, known = view.task_status.keys(), view.tasks.keys()
    return () if reported <= known else reported - known


@dataclass(frozen=True)
class PassResult:
    """A plan with what an incremental planner keeps of it.

    Attributes:
        timers: when each service of the scope is due again, milliseconds since the Unix epoch.
        blocked: services of the scope with pending tasks, and those that are being rebalanced.
        quarantined: services of the scope that could not be planned, and why. Only that is written of them.
    """

    writes: tuple[Write, ...]
    timers: Mapping[str, int]
    blocked: frozenset[str]
    quarantined: Quarantined = field(default_factory=dict)


def plan(view: View, *, now_ms: int, new_id: NewId) -> Plan:
    """Plan everything. Pure: the same view, time and ids give the same plan."""
    scope = PlanScope.full(view)
    slot_index = SlotIndex.of(view, scope.services)
    result = plan_scope(view, ResourceIndex.of(view), slot_index, scope, now_ms=now_ms, new_id=new_id)
    return Plan(result.writes, min(result.timers.values(), default=None))


def plan_scope(
    view: View, resources: ResourceIndex, slot_index: SlotIndex, scope: PlanScope, *, now_ms: int, new_id: NewId
) -> PassResult:
    """Plan some services only. The indexes are those of the view, and are so again afterwards.

    A service whose planning raises is quarantined: the plan is discarded, and made again without it.
    """
    quarantined: dict[str, Exception] = {}
    while True:
        with resources.tentative():
            draft = Draft(view=view, resources=resources, slot_index=slot_index, now_ms=now_ms, new_id=new_id)
            failed = _plan_services(draft, scope, quarantined)
            if not failed:
                write_quarantine(draft, quarantined)
                return replace(_result(draft), quarantined=quarantined)
        quarantined |= failed
        for service_id in scope.services:  # decisions that had no effect in the discarded plan may have some now
            slot_index.of_service(service_id).mark_all_dirty()


def _plan_services(draft: Draft, scope: PlanScope, quarantined: Quarantined) -> dict[str, Exception]:
    """Plan all services that are not quarantined; those that fail, with their exceptions."""
    plan_subnets(draft)
    failed: dict[str, Exception] = {}
    removed = []
    for identifier in sorted(scope.services, key=lambda identifier: _by_priority(draft.view, identifier)):
        service = draft.view.services.get(identifier)
        if identifier in quarantined:
            continue
        container = draft.view.containers.get(identifier)
        if service is None and container is None:
            removed.append(identifier)
            continue
        try:
            if container is not None:
                plan_container(draft, container)
            elif service is not None:
                (plan_job if is_job(service.spec) else plan_service)(draft, service)
        except MemoryError:
            raise
        except Exception as error:
            failed[identifier] = error
    failed |= _plan_removed(draft, removed)
    delete_stale_statuses(draft, sorted(scope.stale_statuses))
    return failed


def _result(draft: Draft) -> PassResult:
    return PassResult(draft.writes(), draft.timers, frozenset(draft.blocked))


def _by_priority(view: View, service_id: str) -> tuple[int, bool, str]:
    """Sorts services: the highest priority first, so that it gets what there is; a service that shares a network comes
    after the provider."""
    service = view.services.get(service_id)
    if service is None:
        return 0, False, service_id
    return -service.spec.priority, bool(network_provider(service.spec.task)), service_id


def _plan_removed(draft: Draft, services: list[str]) -> dict[str, Exception]:
    """Plan the removal of services that are gone; those for which that fails, with their exceptions."""
    failed: dict[str, Exception] = {}
    if not services:
        return failed
    desired = set(services)
    revisions: dict[str, list[str]] = defaultdict(list)
    for key in draft.view.revisions:
        service_id = key.partition("/")[0]
        if service_id in desired:
            revisions[service_id].append(key)
    for service_id in services:
        try:
            plan_removal(draft, service_id, sorted(revisions[service_id]))
        except MemoryError:
            raise
        except Exception as error:
            failed[service_id] = error
    return failed
