"""Changes that deploying or removing a stack makes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from manager.networks import network_handler
from manager.planner.spec.effective_spec import spec_in_force
from manager.planner.spec.running_template import running_part
from manager.records.field_diff import field_changes
from manager.records.in_use import in_use
from manager.records.write_groups import WriteGroup
from manager.services import service_handler, service_revisions
from manager.store.changes import expect, put
from manager.store.kinds import NETWORK
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.network_rules import BEING_REMOVED
from manager.validation.other_services import OtherServices
from manager.validation.shared_network_rules import check_not_shared
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, Refused
from shoal.ids import NewId

Change = DeployStackResponse.Change

MUTABLE_FIELDS = frozenset({"name", "stack", "labels", "attachable"})
"""Fields of a network's spec that may change; all others are fixed while it exists."""
IMMUTABLE_FIELDS = tuple(field for field in NetworkSpec.DESCRIPTOR.fields_by_name if field not in MUTABLE_FIELDS)


@dataclass(frozen=True)
class PlannedChange:
    """The change of one object, and its writes; None when nothing changes."""

    change: Change
    group: WriteGroup | None


def other_services(view: View, request: DeployStackRequest, specs: Sequence[ServiceSpec]) -> OtherServices:
    """Services as the request leaves them: one may take over ports and addresses that another releases."""
    submitted = {spec.name: spec for spec in specs}
    stacks = (each.spec for each in view.services.values() if request.prune and each.spec.stack == request.stack)
    return OtherServices(submitted, frozenset(spec.name for spec in stacks if spec.name not in submitted))


def preserve_forced_updates(view: View, specs: Sequence[ServiceSpec]) -> None:
    """Keep the effect of forced updates that the file does not mention.

    Services that follow a dependency (`depends_on` with `restart`) are replaced when its template changes.
    """
    by_themselves = {spec.name for spec in specs if _is_replaced(view, spec)}
    replaced, grown = by_themselves, True
    while grown:
        following = {spec.name for spec in specs if any(d.restart and d.service in replaced for d in spec.depends_on)}
        grown = not following <= replaced
        replaced = replaced | following
    for spec in specs:
        present = view.service_named(spec.name)
        if present is not None:
            known = max(spec.task.force_update, spec_in_force(view, present).task.force_update)
            spec.task.force_update = known + (spec.name in replaced - by_themselves)


def _is_replaced(view: View, spec: ServiceSpec) -> bool:
    present = view.service_named(spec.name)
    if present is None:
        return False
    forced = ServiceSpec()
    forced.CopyFrom(spec)
    base = spec_in_force(view, present)
    forced.task.force_update = max(spec.task.force_update, base.task.force_update)
    return running_part(base) != running_part(forced)


def plan_networks(view: View, specs: Sequence[NetworkSpec], new_id: NewId, now_ms: int) -> list[PlannedChange]:
    """New networks, changes, and cancelled removals. Valid specs only: see `network_conflicts`."""
    planned = []
    for spec in specs:
        present = view.network_named(spec.name)
        if present is None:
            network = network_handler.new_network(new_id(), spec, now_ms)
            planned.append(
                PlannedChange(
                    _change("network", spec.name, "create", network.meta.id),
                    WriteGroup(*network_handler.creation(network)),
                )
            )
        else:
            planned.append(_update_network(present, spec, now_ms))
    return planned


def _update_network(present: Network, spec: NetworkSpec, now_ms: int) -> PlannedChange:
    if present.spec == spec and not present.removing:
        return PlannedChange(_change("network", spec.name, "unchanged", present.meta.id), None)
    changed = Network()
    changed.CopyFrom(present)
    changed.spec.CopyFrom(spec)
    changed.removing = False
    changed.meta.updated_at_ms = now_ms
    unchanged = expect(NETWORK, present.meta.id, present.meta.version)
    step = WriteGroup([put(NETWORK, present.meta.id, changed)], [unchanged])
    return PlannedChange(_change("network", spec.name, "update", present.meta.id), step)


def network_conflicts(view: View, spec: NetworkSpec) -> list[Fault]:
    """Conflicts of the network with existing ones."""
    present = view.network_named(spec.name)
    if present is None:
        return network_handler.network_faults(view, spec)
    if present.spec.stack != spec.stack:
        return [Fault("name", f'network "{spec.name}" already exists and does not belong to this stack')]
    fixed = [name for name in IMMUTABLE_FIELDS if getattr(present.spec, name) != getattr(spec, name)]
    why = f"cannot be changed yet: the former network is {BEING_REMOVED}"
    if not present.removing:
        why = "cannot be changed while the network exists; remove the stack first"
    return [Fault(name, why) for name in fixed]


def service_conflicts(view: View, spec: ServiceSpec) -> list[Fault]:
    """Conflicts of the service with existing ones."""
    present = view.service_named(spec.name)
    if present is None:
        return []
    if present.spec.stack != spec.stack:
        return [Fault("name", f'service "{spec.name}" already exists and does not belong to this stack')]
    return service_handler.immutable_faults(present.spec, spec)


def plan_service(view: View, spec: ServiceSpec, new_id: NewId, now_ms: int) -> PlannedChange:
    """A new or changed service. Validated specs only: see `spec_submission.prepare`."""
    present = view.service_named(spec.name)
    if present is None:
        service = service_revisions.new_service(new_id(), spec, now_ms)
        return PlannedChange(
            _change("service", spec.name, "create", service.meta.id),
            WriteGroup(*service_handler.creation(view, service)),
        )
    base = spec_in_force(view, present)
    changed = service_revisions.with_spec(present, spec, now_ms, base=base)
    if changed is None:
        return PlannedChange(_change("service", spec.name, "unchanged", present.meta.id), None)
    step = WriteGroup(*service_handler.alteration(view, present, changed))
    change = _change("service", spec.name, "update", present.meta.id)
    change.fields.extend(field_changes(base, changed.spec))
    return PlannedChange(change, step)


def plan_removal(store: RecordStore, stack: str, *, keep: frozenset[str]) -> list[PlannedChange]:
    """Removals of services and networks of the stack that are not in `keep` (full names), services first.

    Raises:
        Refused: a service that remains uses one of the networks, or shares the network of one of the services.
    """
    view = store.tables
    removed = [each for each in view.services.values() if each.spec.stack == stack and each.spec.name not in keep]
    check_not_shared(view, [each.spec.name for each in removed], keep)
    planned = []
    for service in sorted(removed, key=lambda each: each.spec.name):
        step = WriteGroup(service_handler.removal(service), [service_revisions.unchanged_since(service)])
        planned.append(PlannedChange(_change("service", service.spec.name, "remove", service.meta.id), step))
    names = {service.spec.name for service in removed}
    own = [each for each in view.networks.values() if each.spec.stack == stack and each.spec.name not in keep]
    removable = [each for each in sorted(own, key=lambda each: each.spec.name) if not each.removing]
    return planned + [_remove_network(store, network, names) for network in removable]


def _remove_network(store: RecordStore, network: Network, removed_services: set[str]) -> PlannedChange:
    users = [
        name for name in network_handler.services_on(store.tables, network.meta.id) if name not in removed_services
    ]
    if users:
        raise Refused(in_use("network", network.spec.name, users))
    step = WriteGroup(*network_handler.removal(store, network))
    return PlannedChange(_change("network", network.spec.name, "remove", network.meta.id), step)


def _change(kind: str, name: str, action: str, identifier: str) -> Change:
    return Change(kind=kind, name=name, action=action, id=identifier)
