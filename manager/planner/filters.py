"""Which nodes a task may be placed on. Every filter says why it excludes a node.

Standing filters look at the node alone, and so hold for a whole pass; fitting filters look at what is in use.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from manager.planner.demand import Demand
from manager.planner.ledger import Host, Port, is_among
from shoal.api.v1.meta_pb2 import Platform
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.overlay_encryption import lacks
from shoal.published_ports import choices, has_it


@dataclass(frozen=True, order=True)
class Reason:
    """Why nodes are excluded, as said of one node and of several."""

    one: str
    many: str

    def told(self, count: int, total: int) -> str:
        """`2 of 3 lack 512 MiB of memory`"""
        return f"{count} of {total} {self.one if count == 1 else self.many}"


def _same(text: str) -> Reason:
    return Reason(text, text)


NEVER_HEARD = _same("not heard of yet")
DOWN = _same("down")
DRAINED = _same("drained")
PAUSED = _same("paused")
REMOVED = _same("removed")


def standing(host: Host, demand: Demand) -> Reason | None:
    """Ready, availability, constraints, platform of the image, devices.

    A device that goes away stops nothing: as on a paused node, what runs there stays, and nothing new comes.
    """
    if host.node is None:
        return REMOVED
    if host.node.spec.availability == NodeSpec.DRAIN:
        return DRAINED
    if host.node.spec.availability == NodeSpec.PAUSE:
        return PAUSED
    if host.status is None or host.status.state != NodeStatus.READY:
        return DOWN if host.status is not None and host.status.state == NodeStatus.DOWN else NEVER_HEARD
    if (reason := unmet(host, demand)) is not None:
        return reason
    if demand.devices and (device := host.lacking(demand.devices)):
        return _lack(f"device {device}")
    return None


def unmet(host: Host, demand: Demand) -> Reason | None:
    """The first constraint that the node does not meet, that the image is not for its platform, or what its kernel
    lacks."""
    if not (demand.constraints or demand.platforms or demand.encrypted or demand.ipv6):
        return None
    if host.node is None or host.status is None:
        return NEVER_HEARD
    if demand.encrypted and (lacking := lacks(host.status.description, wireguard_only=bool(host.wireguard_alone))):
        return _lack(f"{lacking} in the kernel, for encrypted networks")
    if demand.ipv6 and not host.status.description.ipv6:
        return _lack("IPv6 for containers")
    for constraint in demand.constraints:
        if not constraint.admits(host.node, host.status):
            return Reason(f"does not meet {constraint}", f"do not meet {constraint}")
    if demand.platforms and not is_for(demand.platforms, host.status.description.platform):
        image = ", ".join("/".join(platform) for platform in demand.platforms)
        return Reason(f"is no platform of the image ({image})", f"are no platform of the image ({image})")
    return None


def is_for(platforms: Collection[tuple[str, str]], node: Platform) -> bool:
    """Whether an image that exists for these platforms may run on a node; yes, as long as the node tells of none.

    Variants do not count: the agent chooses the best of those that the image has.
    """
    if not node.os or not node.architecture:
        return True
    return (node.os, node.architecture) in platforms


def fitting(host: Host, demand: Demand, same_service: int) -> Reason | None:
    """Resources, host ports, tasks of the service on the node."""
    if demand.cpus and host.used_cpus + demand.cpus > host.cpus:
        return _lack(cpus(demand.cpus))
    if demand.memory and host.used_memory + demand.memory > host.memory:
        return _lack(memory(demand.memory))
    for kind, wanted in demand.generic.items():
        names = demand.named.get(kind, ())
        if host.stock.free(kind, names) < wanted:
            return _lack(", ".join(f"{kind}={name}" for name in names) or f"{wanted} {kind}")
    if demand.max_per_node and same_service >= demand.max_per_node:
        tasks = "1 task" if demand.max_per_node == 1 else f"{demand.max_per_node} tasks"
        return Reason(f"has its {tasks} of the service", f"have their {tasks} of the service")
    for port in demand.ports:
        if port.published and host.port_taken(port.protocol, port.published, port.host_address):
            return Reason(f"has port {port.published} taken", f"have port {port.published} taken")
        if port.published_first and next(free_numbers(host, port), None) is None:
            ports = f"ports {port.published_first} to {port.published_last} taken"
            return Reason(f"has {ports}", f"have {ports}")
        if program := program_at(host, port):
            what = f"port {port.published} taken by {program}"
            return Reason(f"has {what}", f"have {what}")
    return None


def fit_for(demand: Demand) -> Callable[[Host, int], bool]:
    """Whether `fitting` finds no reason, for a demand that many nodes are asked about."""
    if demand.generic or demand.max_per_node or demand.ports:
        return lambda host, same_service: fitting(host, demand, same_service) is None
    cpus, memory = demand.cpus, demand.memory

    def has_room(host: Host, _: int) -> bool:
        if cpus and host.used_cpus + cpus > host.cpus:
            return False
        return not memory or host.used_memory + memory <= host.memory

    return has_room


def free_numbers(host: Host, port: PublishedPort, taken: Collection[Port] | None = None) -> Iterator[int]:
    """Of the numbers that a port may have, those that neither a task nor a program of the host has.

    Args:
        taken: in place of the ports that the host's tasks have.
    """
    ports = host.ports if taken is None else taken
    for number in choices(port):
        if not is_among(ports, port.protocol, number, port.host_address) and not program_at(host, port, number):
            yield number


def program_at(host: Host, port: PublishedPort, published: int = 0) -> str:
    """The program of the host that has the port, or another number of it; empty when none has."""
    if host.status is None or not (published or port.published):
        return ""
    found = next((each for each in host.status.network.listeners if has_it(each, port, published)), None)
    return (found.program or "another program") if found is not None else ""


def explain(
    hosts: Iterable[Host], demand: Demand, counts: Mapping[str, int], bars: Callable[[Host], Reason | None]
) -> str:
    """`no suitable node: 1 of 3 drained, 2 of 3 lack 512 MiB of memory`, the rarest reason first."""
    if demand.fault:
        return demand.fault
    found: Counter[Reason] = Counter()
    total = 0
    for host in hosts:
        total += 1
        reason = standing(host, demand) or bars(host) or fitting(host, demand, counts.get(host.id, 0))
        if reason is not None:
            found[reason] += 1
    if not total:
        return "no suitable node: the cluster has no nodes"
    ordered = sorted(found.items(), key=lambda item: (item[1], item[0]))
    return "no suitable node: " + ", ".join(reason.told(count, total) for reason, count in ordered)


def _lack(what: str) -> Reason:
    return Reason(f"lacks {what}", f"lack {what}")


def cpus(nano: int) -> str:
    """`0.5 CPUs`"""
    return f"{nano / 1e9:g} CPUs"


def memory(size: int) -> str:
    """`512 MiB of memory`; in bytes when it is not a whole number of KiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name} of memory"
    return f"{size} bytes of memory"
