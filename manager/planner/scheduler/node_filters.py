"""Node filters: why a node is ineligible for a service, or has no room for a task now.

Eligibility depends on the node alone, and so holds for a whole pass; whether a task fits depends on what is in use.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from manager.planner.index.resource_index import NodeUsage, Port, is_port_taken
from manager.planner.spec.problem_texts import NO_SUITABLE_NODE
from manager.planner.spec.requirements import Requirements, supports_platform
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.networks.overlay_encryption import missing_feature
from shoal.networks.published_ports import candidate_ports, listens_on
from shoal.oci_runtimes import runtimes_of


@dataclass(frozen=True, order=True)
class Reason:
    """Why nodes are excluded, as said of one node and of several."""

    one: str
    many: str

    def text(self, count: int, total: int) -> str:
        """`2 of 3 lack 512 MiB of memory`"""
        return f"{count} of {total} {self.one if count == 1 else self.many}"


def _same(text: str) -> Reason:
    return Reason(text, text)


NOT_CONNECTED = _same("not connected yet")
DOWN = _same("down")
DRAINED = _same("drained")
PAUSED = _same("paused")
REMOVED = _same("removed")


def ineligible(host: NodeUsage, demand: Requirements) -> Reason | None:
    """Ready, availability, constraints, platform of the image, devices, OCI runtime.

    A device that goes away stops nothing: as on a paused node, what runs there stays, and nothing new is placed.
    """
    if host.node is None:
        return REMOVED
    if host.node.spec.availability == NodeSpec.DRAIN:
        return DRAINED
    if host.node.spec.availability == NodeSpec.PAUSE:
        return PAUSED
    if host.status is None or host.status.state != NodeStatus.READY:
        return DOWN if host.status is not None and host.status.state == NodeStatus.DOWN else NOT_CONNECTED
    if (reason := unmet_constraint(host, demand)) is not None:
        return reason
    if demand.devices and (device := host.missing_device(demand.devices)):
        return _lacks(f"device {device}")
    if demand.runtime and demand.runtime not in runtimes_of(host.status.description):
        return _lacks(f"runtime {demand.runtime}")
    return None


def unmet_constraint(host: NodeUsage, demand: Requirements) -> Reason | None:
    """The first constraint that the node does not meet, a platform that the image is not for, or what its kernel
    lacks."""
    if not (demand.constraints or demand.platforms or demand.encrypted or demand.ipv6):
        return None
    if host.node is None or host.status is None:
        return NOT_CONNECTED
    if demand.encrypted and (
        lacking := missing_feature(host.status.description, wireguard_only=bool(host.wireguard_only_nodes))
    ):
        return _lacks(f"kernel support for encrypted networks ({lacking})")
    if demand.ipv6 and not host.status.description.ipv6:
        return _lacks("IPv6 support for containers")
    for constraint in demand.constraints:
        if not constraint.matches(host.node, host.status):
            return Reason(f"does not meet constraint {constraint}", f"do not meet constraint {constraint}")
    if demand.platforms and not supports_platform(demand.platforms, host.status.description.platform):
        image = ", ".join("/".join(platform) for platform in demand.platforms)
        return Reason(f"is not a platform of the image ({image})", f"are not a platform of the image ({image})")
    return None


def unfit(host: NodeUsage, demand: Requirements, same_service: int) -> Reason | None:
    """Why one more task does not fit now: resources, host ports, the service's tasks on the node."""
    if demand.cpus and host.used_cpus + demand.cpus > host.cpus:
        return _lacks(cpus(demand.cpus))
    if demand.memory and host.used_memory + demand.memory > host.memory:
        return _lacks(memory(demand.memory))
    for kind, desired in demand.generic.items():
        names = demand.generic_names.get(kind, ())
        if host.generic.available(kind, names) < desired:
            return _lacks(", ".join(f"{kind}={name}" for name in names) or f"{desired} {kind}")
    if demand.max_per_node and same_service >= demand.max_per_node:
        tasks = "1 task" if demand.max_per_node == 1 else f"{demand.max_per_node} tasks"
        return Reason(
            f"has reached the maximum of {tasks} of the service", f"have reached the maximum of {tasks} of the service"
        )
    for port in demand.ports:
        if port.published and host.port_taken(port.protocol, port.published, port.host_address):
            return Reason(f"has port {port.published} in use", f"have port {port.published} in use")
        if port.published_first and next(free_ports(host, port), None) is None:
            ports = f"ports {port.published_first} to {port.published_last} in use"
            return Reason(f"has {ports}", f"have {ports}")
        if program := listener_at(host, port):
            what = f"port {port.published} in use by {program}"
            return Reason(f"has {what}", f"have {what}")
    return None


def fit_test(demand: Requirements) -> Callable[[NodeUsage, int], bool]:
    """A faster form of `unfit(...) is None`, for a demand that many nodes are asked about."""
    if demand.generic or demand.max_per_node or demand.ports:
        return lambda host, same_service: unfit(host, demand, same_service) is None
    cpus, memory = demand.cpus, demand.memory

    def has_room(host: NodeUsage, _: int) -> bool:
        if cpus and host.used_cpus + cpus > host.cpus:
            return False
        return not memory or host.used_memory + memory <= host.memory

    return has_room


def free_ports(host: NodeUsage, port: PublishedPort, taken: Collection[Port] | None = None) -> Iterator[int]:
    """Of the numbers that a port may have, those that neither a task nor a program of the host uses.

    Args:
        taken: in place of the ports of the host's tasks.
    """
    ports = host.ports if taken is None else taken
    for number in candidate_ports(port):
        if not is_port_taken(ports, port.protocol, number, port.host_address) and not listener_at(host, port, number):
            yield number


def listener_at(host: NodeUsage, port: PublishedPort, published: int = 0) -> str:
    """The program of the host that listens on the port, or on `published`; empty when none does."""
    if host.status is None or not (published or port.published):
        return ""
    found = next((each for each in host.status.network_condition.listeners if listens_on(each, port, published)), None)
    return (found.program or "another process") if found is not None else ""


def explain(
    hosts: Iterable[NodeUsage],
    demand: Requirements,
    counts: Mapping[str, int],
    rejects: Callable[[NodeUsage], Reason | None],
) -> str:
    """`no suitable node: 1 of 3 drained, 2 of 3 lack 512 MiB of memory`, the rarest reason first."""
    if demand.error:
        return demand.error
    found: Counter[Reason] = Counter()
    total = 0
    for host in hosts:
        total += 1
        reason = ineligible(host, demand) or rejects(host) or unfit(host, demand, counts.get(host.id, 0))
        if reason is not None:
            found[reason] += 1
    if not total:
        return f"{NO_SUITABLE_NODE}: the cluster has no nodes"
    ordered = sorted(found.items(), key=lambda item: (item[1], item[0]))
    return f"{NO_SUITABLE_NODE}: " + ", ".join(reason.text(count, total) for reason, count in ordered)


def _lacks(what: str) -> Reason:
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
