"""Conflicts between published ports and other programs on the hosts, as agents report them. Pure."""

from collections.abc import Iterator

from manager.store.tables import View
from manager.validation.eligible_nodes import eligible_nodes
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, Service, ServiceSpec
from shoal.errors import Fault
from shoal.networks.published_ports import is_mesh, label, listens_on


def conflicts(view: View, spec: ServiceSpec, previous: ServiceSpec | None) -> Iterator[Fault]:
    """New ports in use by other programs: ingress ports on any node, host ports on every eligible node.

    Args:
        previous: the present spec; ports that it publishes already are not checked again.
    """
    known = {_port_key(port) for port in previous.endpoint.ports} if previous is not None else set()
    for index, port in enumerate(spec.endpoint.ports):
        if not port.published or _port_key(port) in known:
            continue
        nodes = [status for status in view.node_status.values() if status.state == NodeStatus.READY]
        if not is_mesh(port):
            nodes = list(eligible_nodes(view, spec))
        taken = list(_conflicts_on(nodes, port))
        if taken and (is_mesh(port) or len(taken) == len(nodes)):
            text = f"{label(port)} is already in use on {_format(taken)}; stop that program or publish another port"
            yield Fault(f"endpoint.ports[{index}].published", text)


def warnings(view: View, spec: ServiceSpec) -> Iterator[str]:
    """Ports of mode=host that another program uses on some of the eligible nodes."""
    for port in spec.endpoint.ports:
        if port.published and not is_mesh(port):
            nodes = list(eligible_nodes(view, spec))
            if 0 < len(taken := list(_conflicts_on(nodes, port))) < len(nodes):
                yield f"{spec.name}: {label(port)} is already in use on {_format(taken)}; no tasks are scheduled there"


def unreachable_ports(view: View, service: Service) -> Iterator[str]:
    """Ingress ports that some nodes cannot serve, one line each."""
    status = view.service_status.get(service.meta.id)
    nodes = [each for each in view.node_status.values() if each.state == NodeStatus.READY]
    for port in status.mesh_ports if status is not None else ():
        if taken := list(_conflicts_on(nodes, port)):
            yield (
                f"{label(port)} is already in use on {_format(taken)}; requests to these nodes do not reach the service"
            )


def _conflicts_on(nodes: list[NodeStatus], port: PublishedPort) -> Iterator[str]:
    """ "h2 by nginx" """
    for status in nodes:
        listener = next((each for each in status.network_condition.listeners if listens_on(each, port)), None)
        if listener is not None:
            yield f"{status.description.hostname} by {listener.program or 'another program'}"


def _format(taken: list[str]) -> str:
    more = f" and {len(taken) - 3} more nodes" if len(taken) > 3 else ""
    return ", ".join(sorted(taken)[:3]) + more


def _port_key(port: PublishedPort) -> tuple[int, int, str, bool]:
    return port.protocol or PublishedPort.TCP, port.published, port.host_address, is_mesh(port)
