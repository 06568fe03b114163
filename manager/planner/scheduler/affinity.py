"""Affinity and anti-affinity to other services' tasks: which nodes they admit, and what the soft ones cost.

A hard wish to be away holds both ways: the other service's tasks keep away as well. What a service wishes about its
own tasks is `SelfAffinity`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage, ResourceIndex
from manager.planner.scheduler.node_filters import Reason, ineligible
from manager.planner.spec.constraints import node_attribute
from manager.planner.spec.effective_spec import effective
from manager.planner.spec.requirements import NODE_KEY, Requirements
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import Affinity, Service, ServiceSpec

Cost = Callable[[NodeUsage], int]
AntiAffinity = tuple[Service, Affinity]
"""A service, and its hard wish to be away from another one."""


@dataclass(frozen=True)
class _Rule:
    """Attributes:
    near: the values of the key that nodes have where the other service's tasks are.
    """

    key: str
    occupied: frozenset[str | None]
    anti: bool
    weight: int
    reason: Reason

    def allows(self, host: NodeUsage) -> bool:
        return (_value(host, self.key) in self.occupied) != self.anti


class AffinityRules:
    """The affinities of one service, and the hard anti-affinities of others to it, as tasks are placed now."""

    def __init__(
        self, view: View, ledger: ResourceIndex, spec: ServiceSpec, anti_affine: Iterable[AntiAffinity] = ()
    ) -> None:
        others = [affinity for affinity in spec.task.placement.affinities if affinity.service != spec.name]
        own = [_own_rule(view, ledger, affinity) for affinity in others]
        anti_affine = [each for each in anti_affine if each[0].spec.name != spec.name]
        self._hard = [wish for wish in own if not wish.weight] + [_reverse_rule(ledger, *each) for each in anti_affine]
        self._soft = [wish for wish in own if wish.weight]

    def filter(self, hosts: Sequence[NodeUsage]) -> Sequence[NodeUsage]:
        """Those that are not barred."""
        return [host for host in hosts if self.rejects(host) is None] if self._hard else hosts

    def rejects(self, host: NodeUsage) -> Reason | None:
        """Why no task may go there."""
        return next((wish.reason for wish in self._hard if not wish.allows(host)), None)

    def cost(self) -> Cost | None:
        """How much speaks against a node; None when nothing speaks against any."""
        if not self._soft:
            return None
        return lambda host: sum(wish.weight for wish in self._soft if not wish.allows(host))


class SelfAffinity:
    """A service's hard affinities to its own tasks, kept up while a batch of them is placed.

    To be apart counts all that live, but on nodes that are down: nobody waits for those. To be together counts those
    that are to stay, on nodes that may get more; the first one goes anywhere.

    Args:
        counts: the service's tasks that are to stay, by node.
    """

    def __init__(self, ledger: ResourceIndex, service_id: str, demand: Requirements, counts: Mapping[str, int]) -> None:
        hosts = ledger.hosts.values() if demand.self_anti_affinity or demand.self_affinity else ()
        live = [host for host in hosts if service_id in host.services and not _is_down(host)]
        stay = [host for host in hosts if counts.get(host.id) and ineligible(host, demand) is None]
        self._apart = {key: {_value(host, key) for host in live} - {None} for key in demand.self_anti_affinity}
        self._together = {key: {_value(host, key) for host in stay} for key in demand.self_affinity}

    def rejects(self, host: NodeUsage) -> Reason | None:
        """Why the next task may not go there."""
        for key, taken in self._apart.items():
            if _value(host, key) in taken:
                by = "" if key == NODE_KEY else f" over {key}"
                return Reason(
                    f"violates the service's anti-affinity with itself{by}",
                    f"violate the service's anti-affinity with itself{by}",
                )
        for key, homes in self._together.items():
            if homes and _value(host, key) not in homes:
                return Reason(
                    "does not meet the service's affinity with itself", "do not meet the service's affinity with itself"
                )
        return None

    def add(self, host: NodeUsage) -> None:
        """A task of the service goes there."""
        for key, taken in self._apart.items():
            taken.update({_value(host, key)} - {None})
        for key, homes in self._together.items():
            homes.add(_value(host, key))


def _is_down(host: NodeUsage) -> bool:
    return host.status is not None and host.status.state == NodeStatus.DOWN


def _own_rule(view: View, ledger: ResourceIndex, affinity: Affinity) -> _Rule:
    other = view.service_named(affinity.service)
    near = _occupied(ledger, other.meta.id, affinity.topology_key) if other is not None else frozenset()
    name = affinity.service
    if affinity.anti:
        reason = Reason(f"violates the anti-affinity with {name}", f"violate the anti-affinity with {name}")
    else:
        reason = Reason(f"does not meet the affinity with {name}", f"do not meet the affinity with {name}")
    return _Rule(affinity.topology_key or NODE_KEY, near, affinity.anti, affinity.weight, reason)


def anti_affine_to(draft: Draft, name: str) -> Sequence[AntiAffinity]:
    """Services with a hard anti-affinity to the service of this name."""
    found: dict[str, list[AntiAffinity]] = draft.cached("anti-affinities", lambda: _anti_affinities(draft.view))
    return found.get(name, ())


def _anti_affinities(view: View) -> dict[str, list[AntiAffinity]]:
    """Services with a hard anti-affinity to another one, by that other one's name."""
    found: dict[str, list[AntiAffinity]] = {}
    for newest in view.services.values():
        service = effective(view, newest)
        for affinity in service.spec.task.placement.affinities:
            if affinity.anti and not affinity.weight:
                found.setdefault(affinity.service, []).append((service, affinity))
    return found


def _reverse_rule(ledger: ResourceIndex, service: Service, affinity: Affinity) -> _Rule:
    rule = f"the anti-affinity of {service.spec.name}"
    near = _occupied(ledger, service.meta.id, affinity.topology_key)
    return _Rule(affinity.topology_key or NODE_KEY, near, True, 0, Reason(f"violates {rule}", f"violate {rule}"))


def _occupied(ledger: ResourceIndex, service_id: str, over: str) -> frozenset[str | None]:
    key = over or NODE_KEY
    homes: Iterable[NodeUsage] = (host for host in ledger.hosts.values() if service_id in host.services)
    return frozenset(_value(host, key) for host in homes) - {None}


def _value(host: NodeUsage, key: str) -> str | None:
    if key == NODE_KEY:
        return host.id
    return node_attribute(key, host.node, host.status) if host.node is not None and host.status is not None else None
