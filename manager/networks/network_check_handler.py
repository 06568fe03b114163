"""Network check: every node probes the others and the published ports."""

import asyncio
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.agents.node_requests import query_nodes
from manager.records.object_lookup import find_network, hostname_of
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.control_pb2 import CheckNetworkRequest, CheckNetworkResponse, NodePair, PathReport, PortCheck
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.streams_pb2 import PathMeasurement, ProbedNode, ProbedPort, ProbeRequest, ProbeResponse
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import Timeout
from shoal.networks.published_ports import WILDCARD_ADDRESS6, WILDCARD_ADDRESSES, covers, protocol_name
from shoal.rpc.caller import Caller
from shoal.task_states import observed_state, should_run

CHECK_SECONDS = 60.0
MAX_PAIRS = 30_000
MAX_PORTS = 20_000
"""Probed in all: as many as a message has room for."""
MAX_PORTS_PER_NODE = 1_000
MAX_UNPROBED = 1_000
"""Named in a response."""


class NodeProber(Protocol):
    """`manager.agents.agent_channels.AgentChannels` is one."""

    async def probe(self, agent: AgentAddress, request: ProbeRequest) -> ProbeResponse:
        """Raises Unavailable when the node does not respond."""
        ...


@dataclass(frozen=True)
class ProbeTarget:
    """A published port on a node; `protocol` is of shoal.api.v1.PublishedPort."""

    service: str
    node_id: str
    address: str
    port: int
    protocol: int


@dataclass(frozen=True)
class MeshPort:
    """An ingress port; `node_ids` are the nodes with tasks behind it."""

    service: str
    port: PublishedPort
    node_ids: Collection[str]

    def is_served_by(self, status: NodeStatus) -> bool:
        """Whether the node forwards connections that arrive at the address by which other nodes reach it."""
        forwards = not self.port.local_only or status.node_id in self.node_ids
        return forwards and covers(self.port.host_address, status.description.address)


class NetworkCheckHandler:
    """The call `CheckNetwork`."""

    def __init__(self, *, store: RecordStore, prober: NodeProber) -> None:
        self._store = store
        self._prober = prober

    async def check(self, request: CheckNetworkRequest, caller: Caller) -> CheckNetworkResponse:
        """Queries all ready nodes at once. Nodes that do not respond are reported, not raised.

        Raises:
            NotFound, InvalidInput: the network does not exist, or the reference is ambiguous.
        """
        view = self._store.tables
        nodes = _nodes_to_probe(view, request.network)
        order = sorted(nodes)
        mesh_ports = published_mesh_ports(view)
        requests = {
            node_id: _request(view, position, order, nodes, mesh_ports) for position, node_id in enumerate(order)
        }
        probes = {node_id: request for node_id, (request, _) in requests.items()}
        responses, failures = await query_nodes(view, probes, self._probe, at_once=max(1, len(probes)))
        response = CheckNetworkResponse(problems=_not_ready(view, nodes, whole=not request.network))
        response.peers_per_node = len(ring_neighbors(len(order), 0))
        response.problems.extend(failures)
        for node_id, answer in responses.items():
            _add_results(response, view, node_id, answer, requests[node_id][1])
        return response

    async def _probe(self, agent: AgentAddress, request: ProbeRequest) -> ProbeResponse:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._prober.probe(agent, request)
        except TimeoutError:
            raise Timeout(f"the check was not completed within {CHECK_SECONDS:g} s") from None


def _nodes_to_probe(view: View, reference: str) -> Mapping[str, NodeStatus]:
    """The nodes to query: those that are ready and, if a network is given, have a task on it."""
    ready = {
        node_id: status
        for node_id, status in view.node_status.items()
        if status.state == NodeStatus.READY and node_id in view.nodes
    }
    if not reference:
        return ready
    network_id = find_network(view, reference).meta.id
    members = {
        task.node_id
        for task in view.tasks.values()
        if should_run(task) and any(address.network_id == network_id for address in task.addresses)
    }
    return {node_id: status for node_id, status in ready.items() if node_id in members}


def _not_ready(view: View, probed: Mapping[str, NodeStatus], *, whole: bool) -> list[str]:
    if not whole:
        return []
    return [f"node {hostname_of(view, node_id)} is not ready" for node_id in view.nodes if node_id not in probed]


def ring_neighbors(count: int, position: int) -> list[int]:
    """Which of `count` nodes the one at a position probes: all others, or of many an even selection around the ring, so
    that each is probed as often as it probes. Pure."""
    if count < 2:
        return []
    limit = min(count - 1, max(1, MAX_PAIRS // count))
    stride = (count - 1) // limit
    return [(position + 1 + stride * step) % count for step in range(limit)]


def _request(
    view: View, position: int, order: Sequence[str], nodes: Mapping[str, NodeStatus], mesh_ports: Sequence[MeshPort]
) -> tuple[ProbeRequest, Sequence[ProbeTarget]]:
    """What one node probes: other nodes, and the published ports of the next one, so that each is tried once.

    Of too many ports, each node probes a part.
    """
    following = order[(position + 1) % len(order)]
    all_ports = ports_to_probe(view, nodes[following], mesh_ports)
    limit = max(1, min(MAX_PORTS_PER_NODE, MAX_PORTS // len(order)))
    first = position * limit % len(all_ports) if len(all_ports) > limit else 0
    targets = [*all_ports[first:], *all_ports[:first]][:limit]
    request = ProbeRequest(
        nodes=[_probed(nodes[order[other]]) for other in ring_neighbors(len(order), position)],
        ports=[ProbedPort(address=target.address, port=target.port, protocol=target.protocol) for target in targets],
    )
    return request, targets


def _probed(status: NodeStatus) -> ProbedNode:
    about = status.description
    return ProbedNode(node_id=status.node_id, address=about.address, vtep_mac=about.vtep_mac)


def published_mesh_ports(view: View) -> list[MeshPort]:
    """Ingress ports with the nodes of the tasks behind them; none of services without tasks."""
    found = []
    for service_id, service in view.services.items():
        status = view.service_status.get(service_id)
        if status is not None and status.mesh_ports:
            node_ids = frozenset(task.node_id for task in view.tasks_of(service_id).values() if should_run(task))
            found += [MeshPort(service.spec.name, port, node_ids) for port in status.mesh_ports if node_ids]
    return found


def ports_to_probe(view: View, status: NodeStatus, mesh_ports: Iterable[MeshPort]) -> list[ProbeTarget]:
    """Ports that the node should accept connections on: those of its running tasks, and ingress ports."""
    found: dict[ProbeTarget, None] = {}
    address = status.description.address
    for task in view.tasks_on(status.node_id).values():
        if not should_run(task) or observed_state(task, view.task_status.get(task.id)) != TaskState.RUNNING:
            continue
        revision = view.revision_of(task.service_id, task.revision)
        name = revision.spec.name if revision is not None else task.service_id
        for port in task.ports:
            if _is_probed(port.host_address, address):
                reached_at = _probe_address(port.host_address, address)
                found[ProbeTarget(name, status.node_id, reached_at, port.published, port.protocol)] = None
    for mesh in mesh_ports:
        if mesh.is_served_by(status):
            found[ProbeTarget(mesh.service, status.node_id, address, mesh.port.published, mesh.port.protocol)] = None
    return list(found)


def _is_probed(host_address: str, node_address: str) -> bool:
    """Whether another node can connect there: at the node's address, or at the one address of the port."""
    if host_address in (*WILDCARD_ADDRESSES, WILDCARD_ADDRESS6):
        return covers(host_address, node_address)
    return not host_address.startswith("127.") and host_address != "::1"


def _probe_address(host_address: str, node_address: str) -> str:
    return node_address if host_address in (*WILDCARD_ADDRESSES, WILDCARD_ADDRESS6) else host_address


def _add_results(
    response: CheckNetworkResponse, view: View, node_id: str, answer: ProbeResponse, targets: Sequence[ProbeTarget]
) -> None:
    own = hostname_of(view, node_id)
    for reach in answer.nodes:
        pair = NodePair(from_hostname=own, to_hostname=hostname_of(view, reach.node_id))
        pair.underlay.CopyFrom(path_report(reach.underlay))
        if reach.HasField("overlay"):
            pair.overlay.CopyFrom(path_report(reach.overlay))
        response.pairs.append(pair)
    inconclusive = set(answer.inconclusive_ports)
    for position, target in enumerate(targets):
        hostname = hostname_of(view, target.node_id)
        if position in inconclusive or position >= len(answer.port_errors):
            protocol = protocol_name(target.protocol)
            if len(response.inconclusive) < MAX_UNPROBED:
                response.inconclusive.append(f"{target.port}/{protocol} of {target.service} on {hostname}")
            continue
        error = answer.port_errors[position]
        response.ports.append(
            PortCheck(
                service_name=target.service,
                node_hostname=hostname,
                address=target.address,
                port=target.port,
                open=not error,
                from_hostname=own,
                error=error,
                protocol=target.protocol,
            )
        )


def path_report(path: PathMeasurement) -> PathReport:
    """The measurements of a path, summarized."""
    rtts = path.rtts_us
    return PathReport(
        sent=path.sent,
        received=len(rtts),
        median_us=round(statistics.median(rtts)) if rtts else 0,
        worst_us=max(rtts, default=0),
        mtu=path.mtu,
        expected_mtu=path.expected_mtu,
    )
