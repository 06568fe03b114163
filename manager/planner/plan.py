"""The planner as one pure function: from a view of the store to what is to be written, and when to look again."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from manager.planner.aside import Aside, tell
from manager.planner.draft import Draft
from manager.planner.jobs import plan_job
from manager.planner.ledger import Ledger
from manager.planner.modes import is_job
from manager.planner.networks import plan_subnets
from manager.planner.reconcile import plan_service
from manager.planner.remove import plan_removal, plan_strays
from manager.planner.rolls import Rolls
from manager.store.changes import Write
from manager.store.tables import View
from shoal.ids import NewId
from shoal.network_modes import provider_of


@dataclass(frozen=True)
class Plan:
    """What to commit and when to plan again though nothing changes.

    Attributes:
        writes: in a safe order: after any beginning of them, planning again leads to the same end.
        wake_at_ms: milliseconds since the Unix epoch; None when nothing is due.
    """

    writes: tuple[Write, ...]
    wake_at_ms: int | None


@dataclass(frozen=True)
class Scope:
    """What a pass looks at.

    Attributes:
        services: ids, also of services that are gone.
        statuses: ids of tasks whose statuses may be left over.
    """

    services: Iterable[str]
    statuses: Iterable[str]

    @staticmethod
    def full(view: View) -> "Scope":
        """Everything in the view."""
        return Scope(services_of(view), strays(view))


def services_of(view: View) -> set[str]:
    """Ids of all services, also of those that are gone but have left something."""
    services = set(view.services_with_tasks())
    services.update(view.services, view.service_status, (key.partition("/")[0] for key in view.revisions))
    return services


def strays(view: View) -> Iterable[str]:
    """Ids of tasks that are gone but for their statuses."""
    told, known = view.task_status.keys(), view.tasks.keys()
    return () if told <= known else told - known


@dataclass(frozen=True)
class Outcome:
    """A plan with what an incremental pass has to remember.

    Attributes:
        timers: when each service of the scope is due again, milliseconds since the Unix epoch.
        unplaced: services of the scope with tasks that found no node, and those that are being evened out.
        aside: services of the scope that could not be planned, and why. Nothing but that is written of them.
    """

    writes: tuple[Write, ...]
    timers: Mapping[str, int]
    unplaced: frozenset[str]
    aside: Aside = field(default_factory=dict)


def plan(view: View, *, now_ms: int, new_id: NewId) -> Plan:
    """Plan everything. Pure: the same view, time and ids give the same plan."""
    scope = Scope.full(view)
    rolls = Rolls.of(view, scope.services)
    outcome = plan_scope(view, Ledger.of(view), rolls, scope, now_ms=now_ms, new_id=new_id)
    return Plan(outcome.writes, min(outcome.timers.values(), default=None))


def plan_scope(view: View, ledger: Ledger, rolls: Rolls, scope: Scope, *, now_ms: int, new_id: NewId) -> Outcome:
    """Plan some services only. Ledger and rolls are those of the view, and are so again afterwards.

    A service whose planning raises is set aside: what was planned with it is thrown away, and planned again without it.
    """
    aside: dict[str, Exception] = {}
    while True:
        with ledger.trial():
            draft = Draft(view=view, ledger=ledger, rolls=rolls, now_ms=now_ms, new_id=new_id)
            failed = _plan_services(draft, scope, aside)
            if not failed:
                tell(draft, aside)
                return replace(_outcome(draft), aside=aside)
        aside |= failed
        for service_id in scope.services:  # what looked as if it had no effect may have some now
            rolls.roll(service_id).wake_all()


def _plan_services(draft: Draft, scope: Scope, aside: Aside) -> dict[str, Exception]:
    """Plan all but those that are set aside already; those that fail, and how."""
    plan_subnets(draft)
    failed: dict[str, Exception] = {}
    gone = []
    for identifier in sorted(scope.services, key=lambda identifier: _urgency(draft.view, identifier)):
        service = draft.view.services.get(identifier)
        if identifier in aside:
            continue
        if service is None:
            gone.append(identifier)
            continue
        try:
            (plan_job if is_job(service.spec) else plan_service)(draft, service)
        except MemoryError:
            raise
        except Exception as error:
            failed[identifier] = error
    failed |= _plan_gone(draft, gone)
    plan_strays(draft, sorted(scope.statuses))
    return failed


def _outcome(draft: Draft) -> Outcome:
    return Outcome(draft.writes(), draft.timers, frozenset(draft.unplaced))


def _urgency(view: View, service_id: str) -> tuple[int, bool, str]:
    """Sorts services: the highest priority first, so that it takes what there is; who shares a network after whose it
    is."""
    service = view.services.get(service_id)
    if service is None:
        return 0, False, service_id
    return -service.spec.priority, bool(provider_of(service.spec.task)), service_id


def _plan_gone(draft: Draft, services: list[str]) -> dict[str, Exception]:
    """Clear up after services that are gone; those for which that fails, and how."""
    failed: dict[str, Exception] = {}
    if not services:
        return failed
    wanted = set(services)
    revisions: dict[str, list[str]] = defaultdict(list)
    for key in draft.view.revisions:
        service_id = key.partition("/")[0]
        if service_id in wanted:
            revisions[service_id].append(key)
    for service_id in services:
        try:
            plan_removal(draft, service_id, sorted(revisions[service_id]))
        except MemoryError:
            raise
        except Exception as error:
            failed[service_id] = error
    return failed
