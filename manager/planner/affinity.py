"""Which nodes are near other services' tasks, for services that wish to be with them, or away from them.

A hard wish to be away holds both ways: the other service's tasks keep away as well. What a service wishes about its
own tasks is `Kin`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from manager.planner.constraints import fact
from manager.planner.demand import SAME_NODE, Demand
from manager.planner.effective import effective
from manager.planner.filters import Reason, standing
from manager.planner.ledger import Host, Ledger
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import Affinity, Service, ServiceSpec

Cost = Callable[[Host], int]
Shy = tuple[Service, Affinity]
"""A service, and its hard wish to be away from another one."""


@dataclass(frozen=True)
class _Wish:
    """Attributes:
    near: the values of the key that nodes have where the other service's tasks are.
    """

    key: str
    near: frozenset[str | None]
    anti: bool
    weight: int
    reason: Reason

    def holds(self, host: Host) -> bool:
        return (_value(host, self.key) in self.near) != self.anti


class Company:
    """The wishes of one service, and those of others about it, as the ledger stands now."""

    def __init__(self, view: View, ledger: Ledger, spec: ServiceSpec, shy: Iterable[Shy] = ()) -> None:
        others = [affinity for affinity in spec.task.placement.affinities if affinity.service != spec.name]
        own = [_own(view, ledger, affinity) for affinity in others]
        shy = [each for each in shy if each[0].spec.name != spec.name]
        self._hard = [wish for wish in own if not wish.weight] + [_others(ledger, *each) for each in shy]
        self._soft = [wish for wish in own if wish.weight]

    def admitted(self, hosts: Sequence[Host]) -> Sequence[Host]:
        """Those that are not barred."""
        return [host for host in hosts if self.bars(host) is None] if self._hard else hosts

    def bars(self, host: Host) -> Reason | None:
        """Why no task may go there."""
        return next((wish.reason for wish in self._hard if not wish.holds(host)), None)

    def cost(self) -> Cost | None:
        """How much speaks against a node; None when nothing speaks against any."""
        if not self._soft:
            return None
        return lambda host: sum(wish.weight for wish in self._soft if not wish.holds(host))


class Kin:
    """A service's hard wishes about its own tasks, while some of them are placed.

    To be apart counts all that live, but on nodes that are down: nobody waits for those. To be together counts those
    that are to stay, on nodes that may get more; the first one goes anywhere.

    Args:
        counts: the service's tasks that are to stay, by node.
    """

    def __init__(self, ledger: Ledger, service_id: str, demand: Demand, counts: Mapping[str, int]) -> None:
        hosts = ledger.hosts.values() if demand.apart or demand.together else ()
        live = [host for host in hosts if service_id in host.services and not _is_down(host)]
        stay = [host for host in hosts if counts.get(host.id) and standing(host, demand) is None]
        self._apart = {key: {_value(host, key) for host in live} - {None} for key in demand.apart}
        self._together = {key: {_value(host, key) for host in stay} for key in demand.together}

    def bars(self, host: Host) -> Reason | None:
        """Why the next task may not go there."""
        for key, taken in self._apart.items():
            if _value(host, key) in taken:
                by = "" if key == SAME_NODE else f" by {key}"
                return Reason(f"is near a task of the service itself{by}", f"are near tasks of the service itself{by}")
        for key, homes in self._together.items():
            if homes and _value(host, key) not in homes:
                return Reason("is not near the service's other tasks", "are not near the service's other tasks")
        return None

    def join(self, host: Host) -> None:
        """A task of the service goes there."""
        for key, taken in self._apart.items():
            taken.update({_value(host, key)} - {None})
        for key, homes in self._together.items():
            homes.add(_value(host, key))


def _is_down(host: Host) -> bool:
    return host.status is not None and host.status.state == NodeStatus.DOWN


def _own(view: View, ledger: Ledger, affinity: Affinity) -> _Wish:
    other = view.service_named(affinity.service)
    near = _near(ledger, other.meta.id, affinity.over) if other is not None else frozenset()
    name = affinity.service
    if affinity.anti:
        reason = Reason(f"is near tasks of {name}", f"are near tasks of {name}")
    else:
        reason = Reason(f"is not near a task of {name}", f"are not near a task of {name}")
    return _Wish(affinity.over or SAME_NODE, near, affinity.anti, affinity.weight, reason)


def shy_services(view: View) -> dict[str, list[Shy]]:
    """Services whose tasks have to be away from others', by the names of those others."""
    found: dict[str, list[Shy]] = {}
    for newest in view.services.values():
        service = effective(view, newest)
        for affinity in service.spec.task.placement.affinities:
            if affinity.anti and not affinity.weight:
                found.setdefault(affinity.service, []).append((service, affinity))
    return found


def _others(ledger: Ledger, service: Service, affinity: Affinity) -> _Wish:
    shy = f"near tasks of {service.spec.name}, which keep away"
    near = _near(ledger, service.meta.id, affinity.over)
    return _Wish(affinity.over or SAME_NODE, near, True, 0, Reason(f"is {shy}", f"are {shy}"))


def _near(ledger: Ledger, service_id: str, over: str) -> frozenset[str | None]:
    key = over or SAME_NODE
    homes: Iterable[Host] = (host for host in ledger.hosts.values() if service_id in host.services)
    return frozenset(_value(host, key) for host in homes) - {None}


def _value(host: Host, key: str) -> str | None:
    if key == SAME_NODE:
        return host.id
    return fact(key, host.node, host.status) if host.node is not None and host.status is not None else None
