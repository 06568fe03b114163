"""Affinity and anti-affinity to other services' tasks: which nodes they admit, and what the soft ones cost.

A hard anti-affinity holds both ways: the other service's tasks keep away as well. Affinities of a service to its own
tasks are in `SelfAffinity`.
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
"""A service, and its hard anti-affinity to another one."""


@dataclass(frozen=True)
class _Rule:
    """Attributes:
    occupied: the values of the key that nodes with tasks of the other service have.
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
        self, view: View, resources: ResourceIndex, spec: ServiceSpec, anti_affine: Iterable[AntiAffinity] = ()
    ) -> None:
        others = [affinity for affinity in spec.task.placement.affinities if affinity.service != spec.name]
        own = [_own_rule(view, resources, affinity) for affinity in others]
        anti_affine = [each for each in anti_affine if each[0].spec.name != spec.name]
        self._hard = [rule for rule in own if not rule.weight] + [
            _reverse_rule(resources, *each) for each in anti_affine
        ]
        self._soft = [rule for rule in own if rule.weight]

    def filter(self, hosts: Sequence[NodeUsage]) -> Sequence[NodeUsage]:
        """Those that no rule rejects."""
        return [host for host in hosts if self.rejects(host) is None] if self._hard else hosts

    def rejects(self, host: NodeUsage) -> Reason | None:
        """Why no task may go there."""
        return next((rule.reason for rule in self._hard if not rule.allows(host)), None)

    def cost(self) -> Cost | None:
        """The cost of a node; None when all cost nothing."""
        if not self._soft:
            return None
        return lambda host: sum(rule.weight for rule in self._soft if not rule.allows(host))


class SelfAffinity:
    """A service's hard affinities to its own tasks, kept up while a batch of them is placed.

    The anti-affinity counts all live tasks but those on nodes that are down, which nothing waits for. The affinity
    counts those that are to stay, on nodes that may get more; the first one goes anywhere.

    Args:
        counts: the service's tasks that are to stay, by node.
    """

    def __init__(
        self, resources: ResourceIndex, service_id: str, demand: Requirements, counts: Mapping[str, int]
    ) -> None:
        hosts = resources.hosts.values() if demand.self_anti_affinity or demand.self_affinity else ()
        live = [host for host in hosts if service_id in host.services and not _is_down(host)]
        stay = [host for host in hosts if counts.get(host.id) and ineligible(host, demand) is None]
        self._apart = {key: {_value(host, key) for host in live} - {None} for key in demand.self_anti_affinity}
        self._together = {key: {_value(host, key) for host in stay} for key in demand.self_affinity}

    def rejects(self, host: NodeUsage) -> Reason | None:
        """Why the next task may not go there."""
        for key, occupied in self._apart.items():
            if _value(host, key) in occupied:
                by = "" if key == NODE_KEY else f" over {key}"
                return Reason(
                    f"violates the service's anti-affinity with itself{by}",
                    f"violate the service's anti-affinity with itself{by}",
                )
        for key, occupied in self._together.items():
            if occupied and _value(host, key) not in occupied:
                return Reason(
                    "does not meet the service's affinity with itself", "do not meet the service's affinity with itself"
                )
        return None

    def add(self, host: NodeUsage) -> None:
        """A task of the service is placed there."""
        for key, occupied in self._apart.items():
            occupied.update({_value(host, key)} - {None})
        for key, occupied in self._together.items():
            occupied.add(_value(host, key))


def _is_down(host: NodeUsage) -> bool:
    return host.status is not None and host.status.state == NodeStatus.DOWN


def _own_rule(view: View, resources: ResourceIndex, affinity: Affinity) -> _Rule:
    other = view.service_named(affinity.service)
    occupied = _occupied(resources, other.meta.id, affinity.topology_key) if other is not None else frozenset()
    name = affinity.service
    if affinity.anti:
        reason = Reason(f"violates the anti-affinity with {name}", f"violate the anti-affinity with {name}")
    else:
        reason = Reason(f"does not meet the affinity with {name}", f"do not meet the affinity with {name}")
    return _Rule(affinity.topology_key or NODE_KEY, occupied, affinity.anti, affinity.weight, reason)


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


def _reverse_rule(resources: ResourceIndex, service: Service, affinity: Affinity) -> _Rule:
    rule = f"the anti-affinity of {service.spec.name}"
    occupied = _occupied(resources, service.meta.id, affinity.topology_key)
    return _Rule(affinity.topology_key or NODE_KEY, occupied, True, 0, Reason(f"violates {rule}", f"violate {rule}"))


def _occupied(resources: ResourceIndex, service_id: str, topology_key: str) -> frozenset[str | None]:
    key = topology_key or NODE_KEY
    hosts: Iterable[NodeUsage] = (host for host in resources.hosts.values() if service_id in host.services)
    return frozenset(_value(host, key) for host in hosts) - {None}


def _value(host: NodeUsage, key: str) -> str | None:
    if key == NODE_KEY:
        return host.id
    return node_attribute(key, host.node, host.status) if host.node is not None and host.status is not None else None
