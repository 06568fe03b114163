"""Ports that programs of hosts have, as agents told them: what a service therefore cannot publish. Pure."""

from collections.abc import Iterator

from manager.planner import constraints
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, Service, ServiceSpec
from shoal.errors import Fault, InvalidInput
from shoal.published_ports import has_it, is_mesh, label

_USED = (NodeSpec.AVAILABILITY_UNSPECIFIED, NodeSpec.ACTIVE)


def conflicts(view: View, spec: ServiceSpec, previous: ServiceSpec | None) -> Iterator[Fault]:
    """New ports that a program has: of the mesh on any node; of tasks' own nodes on every one that admits the service.

    Args:
        previous: the service as it is; the ports that it has already are not asked for again.
    """
    known = {_wish(port) for port in previous.endpoint.ports} if previous is not None else set()
    for index, port in enumerate(spec.endpoint.ports):
        if not port.published or _wish(port) in known:
            continue
        nodes = [status for status in view.node_status.values() if status.state == NodeStatus.READY]
        if not is_mesh(port):
            nodes = [status for status in nodes if _admits(view, spec, status)]
        taken = list(_taken(nodes, port))
        if taken and (is_mesh(port) or len(taken) == len(nodes)):
            text = f"{label(port)} is taken on {_listed(taken)}; stop that, or publish another port"
            yield Fault(f"endpoint.ports[{index}].published", text)


def warnings(view: View, spec: ServiceSpec) -> Iterator[str]:
    """Ports of tasks' own nodes that a program has on some of those that admit the service."""
    for port in spec.endpoint.ports:
        if port.published and not is_mesh(port):
            nodes = [each for each in view.node_status.values() if _admits(view, spec, each)]
            if 0 < len(taken := list(_taken(nodes, port))) < len(nodes):
                yield f"{spec.name}: {label(port)} is taken on {_listed(taken)}, so no task goes there"


def missing_on(view: View, service: Service) -> Iterator[str]:
    """A line for each port of the mesh that some nodes do not lead to the service."""
    status = view.service_status.get(service.meta.id)
    nodes = [each for each in view.node_status.values() if each.state == NodeStatus.READY]
    for port in status.mesh_ports if status is not None else ():
        if taken := list(_taken(nodes, port)):
            yield f"{label(port)} is taken on {_listed(taken)}, and does not lead to the service there"


def _taken(nodes: list[NodeStatus], port: PublishedPort) -> Iterator[str]:
    """ "h2 by nginx" """
    for status in nodes:
        listener = next((each for each in status.network.listeners if has_it(each, port)), None)
        if listener is not None:
            yield f"{status.description.hostname} by {listener.program or 'another program'}"


def _listed(taken: list[str]) -> str:
    more = f" and {len(taken) - 3} more nodes" if len(taken) > 3 else ""
    return ", ".join(sorted(taken)[:3]) + more


def _admits(view: View, spec: ServiceSpec, status: NodeStatus) -> bool:
    node = view.nodes.get(status.node_id)
    if node is None or status.state != NodeStatus.READY or node.spec.availability not in _USED:
        return False
    try:
        return all(constraints.parse(text).admits(node, status) for text in spec.task.placement.constraints)
    except InvalidInput:  # told as a fault
        return False


def _wish(port: PublishedPort) -> tuple[int, int, str, bool]:
    return port.protocol or PublishedPort.TCP, port.published, port.host_address, is_mesh(port)
