"""What deploying or removing a stack changes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from manager.control_api import networks, revisions, services
from manager.control_api.field_changes import field_changes
from manager.control_api.neighbours import Neighbours
from manager.control_api.seams import Records
from manager.control_api.transactions import Step
from manager.control_api.validate_network import GOING
from manager.control_api.validate_shared_network import check_not_shared
from manager.planner.effective import spec_in_force
from manager.planner.template import work
from manager.store.changes import expect, put
from manager.store.kinds import NETWORK
from manager.store.tables import View
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, Refused
from shoal.ids import NewId
from shoal.network_modes import SERVICE, cluster_networks

Change = DeployStackResponse.Change

CHANGEABLE = frozenset({"name", "stack", "labels", "attachable"})
"""Fields of a network's spec; all others stay as they are while it exists."""
FIXED = tuple(field for field in NetworkSpec.DESCRIPTOR.fields_by_name if field not in CHANGEABLE)


@dataclass(frozen=True)
class Planned:
    """One object's change, and the step that makes it; None when nothing changes."""

    change: Change
    step: Step | None


def full_name(stack: str, name: str) -> str:
    """`<stack>_<name>`; a name that has the stack already stays as it is."""
    return name if name.startswith(f"{stack}_") else f"{stack}_{name}"


def short_name(stack: str, name: str) -> str:
    """The name as the stack's file has it."""
    return name.removeprefix(f"{stack}_")


def network_specs(request: DeployStackRequest) -> list[NetworkSpec]:
    """The stack's networks under their full names."""
    specs = []
    for sent in request.networks:
        spec = NetworkSpec()
        spec.CopyFrom(sent)
        # A network that names its stack itself has a name of the user's own choice (Compose `name`).
        spec.name = sent.name if sent.stack else full_name(request.stack, sent.name)
        spec.stack = request.stack
        spec.driver = sent.driver or "overlay"
        specs.append(spec)
    return specs


def service_specs(request: DeployStackRequest) -> list[ServiceSpec]:
    """The stack's services under their full names, attached to its networks, where the short name leads to them too."""
    own = {network.name for network in network_specs(request)}
    names = {full_name(request.stack, service.name) for service in request.services}
    specs = []
    for sent in request.services:
        spec = ServiceSpec()
        spec.CopyFrom(sent)
        spec.name, spec.stack = full_name(request.stack, sent.name), request.stack
        for attachment in cluster_networks(spec.task):
            full = full_name(request.stack, attachment.network)
            # A service that names its stack itself has full names: one of another owner's (Compose `external`) stays.
            if not sent.stack and attachment.network not in own and full in own:
                attachment.network = full
            short = short_name(request.stack, spec.name)
            if short not in attachment.aliases:
                attachment.aliases.append(short)
        for attachment in spec.task.networks:
            provider = full_name(request.stack, attachment.network.removeprefix(SERVICE))
            if attachment.network.startswith(SERVICE) and provider in names:
                attachment.network = SERVICE + provider
        for affinity in spec.task.placement.affinities:
            if (full := full_name(request.stack, affinity.service)) in names:
                affinity.service = full
        for dependency in spec.depends_on:
            dependency.service = full_name(request.stack, dependency.service)
        specs.append(spec)
    return specs


def neighbours(view: View, request: DeployStackRequest, specs: Sequence[ServiceSpec]) -> Neighbours:
    """What the stack's own services have then: one may take over what another one gives up in the same call."""
    coming = {spec.name: spec for spec in specs}
    stacks = (each.spec for each in view.services.values() if request.prune and each.spec.stack == request.stack)
    return Neighbours(coming, frozenset(spec.name for spec in stacks if spec.name not in coming))


def keep_restarts(view: View, specs: Sequence[ServiceSpec]) -> None:
    """Tasks that were replaced by force are not replaced again because the file does not say so.

    Those that are to follow a dependency's (`depends_on` with `restart`) are replaced when its template changes.
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
    return work(base) != work(forced)


def plan_networks(view: View, specs: Sequence[NetworkSpec], new_id: NewId, now_ms: int) -> list[Planned]:
    """New ones, and those that are being removed called back. Valid specs only: see `network_conflicts`."""
    planned = []
    for spec in specs:
        present = view.network_named(spec.name)
        if present is None:
            network = networks.made(new_id(), spec, now_ms)
            planned.append(
                Planned(_change("network", spec.name, "create", network.meta.id), Step(*networks.creation(network)))
            )
        else:
            planned.append(_kept_network(present, spec, now_ms))
    return planned


def _kept_network(present: Network, spec: NetworkSpec, now_ms: int) -> Planned:
    if present.spec == spec and not present.removing:
        return Planned(_change("network", spec.name, "unchanged", present.meta.id), None)
    changed = Network()
    changed.CopyFrom(present)
    changed.spec.CopyFrom(spec)
    changed.removing = False
    changed.meta.updated_at_ms = now_ms
    unchanged = expect(NETWORK, present.meta.id, present.meta.version)
    step = Step([put(NETWORK, present.meta.id, changed)], [unchanged])
    return Planned(_change("network", spec.name, "update", present.meta.id), step)


def network_conflicts(view: View, spec: NetworkSpec) -> list[Fault]:
    """Why the stack cannot have this network."""
    present = view.network_named(spec.name)
    if present is None:
        return networks.network_faults(view, spec)
    if present.spec.stack != spec.stack:
        return [Fault("name", f'a network "{spec.name}" exists already and is not of this stack')]
    fixed = [name for name in FIXED if getattr(present.spec, name) != getattr(spec, name)]
    why = f"cannot be changed yet: the former network is {GOING}"
    if not present.removing:
        why = "cannot be changed while the network exists; remove the stack first"
    return [Fault(name, why) for name in fixed]


def service_conflicts(view: View, spec: ServiceSpec) -> list[Fault]:
    """Why the stack cannot have this service."""
    present = view.service_named(spec.name)
    if present is None:
        return []
    if present.spec.stack != spec.stack:
        return [Fault("name", f'a service "{spec.name}" exists already and is not of this stack')]
    return services.immutable_faults(present.spec, spec)


def plan_service(view: View, spec: ServiceSpec, new_id: NewId, now_ms: int) -> Planned:
    """A new or changed service. Examined specs only: see `submission`."""
    present = view.service_named(spec.name)
    if present is None:
        service = revisions.first(new_id(), spec, now_ms)
        return Planned(
            _change("service", spec.name, "create", service.meta.id), Step(*services.creation(view, service))
        )
    base = spec_in_force(view, present)
    changed = revisions.following(present, spec, now_ms, base=base)
    if changed is None:
        return Planned(_change("service", spec.name, "unchanged", present.meta.id), None)
    step = Step(*services.alteration(view, present, changed))
    change = _change("service", spec.name, "update", present.meta.id)
    change.fields.extend(field_changes(base, changed.spec))
    return Planned(change, step)


def plan_removal(store: Records, stack: str, *, keep: frozenset[str]) -> list[Planned]:
    """Services and networks of the stack whose full names are not to be kept, services first.

    Raises:
        Refused: a service that stays uses one of the networks, or shares the network of one of the services.
    """
    view = store.tables
    going = [each for each in view.services.values() if each.spec.stack == stack and each.spec.name not in keep]
    check_not_shared(view, [each.spec.name for each in going], keep)
    planned = []
    for service in sorted(going, key=lambda each: each.spec.name):
        step = Step(services.removal(service), [revisions.unchanged_since(service)])
        planned.append(Planned(_change("service", service.spec.name, "remove", service.meta.id), step))
    names = {service.spec.name for service in going}
    own = [each for each in view.networks.values() if each.spec.stack == stack and each.spec.name not in keep]
    gone = [each for each in sorted(own, key=lambda each: each.spec.name) if not each.removing]
    return planned + [_going_network(store, network, names) for network in gone]


def _going_network(store: Records, network: Network, going: set[str]) -> Planned:
    users = [name for name in networks.services_on(store.tables, network.meta.id) if name not in going]
    if users:
        raise Refused(f'network "{network.spec.name}" is in use by {", ".join(users[:5])}; remove or change them first')
    step = Step(*networks.removal(store, network))
    return Planned(_change("network", network.spec.name, "remove", network.meta.id), step)


def _change(kind: str, name: str, action: str, identifier: str) -> Change:
    return Change(kind=kind, name=name, action=action, id=identifier)
