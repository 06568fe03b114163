"""The check of the whole network: every node probes every other one, and the ports that are published."""

import asyncio
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from manager.control_api.lookup import find_network, hostname_of
from manager.control_api.seams import AgentAddress, Records
from manager.store.tables import View
from shoal.api.v1.control_pb2 import CheckNetworkRequest, CheckNetworkResponse, NodePair, PathReport, PortCheck
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.streams_pb2 import Path, ProbedNode, ProbedPort, ProbeRequest, ProbeResponse
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import ShoalError
from shoal.published_ports import EVERYWHERE, EVERYWHERE6, covers, protocol_name
from shoal.task_group import TaskGroup
from shoal.task_states import is_wanted, observed

CHECK_SECONDS = 60.0
MOST_PAIRS = 30_000
MOST_PORTS = 20_000
"""That are probed in all: what a message has room for."""
MOST_PORTS_OF_ONE = 1_000
MOST_UNPROBED = 1_000
"""That are named."""


class Prober(Protocol):
    """`manager.control_api.agent_channels.AgentChannels` is one."""

    async def probe(self, agent: AgentAddress, request: ProbeRequest) -> ProbeResponse:
        """Raises Unavailable when the node does not answer."""
        ...


@dataclass(frozen=True)
class Target:
    """A published port on a node; `protocol` is of shoal.api.v1.PublishedPort."""

    service: str
    node_id: str
    address: str
    port: int
    protocol: int


@dataclass(frozen=True)
class MeshFront:
    """A port of every node; `places` are ids of the nodes with tasks that it leads to."""

    service: str
    port: PublishedPort
    places: Collection[str]

    def is_answered_by(self, status: NodeStatus) -> bool:
        """Whether the node is to lead clients on, who come to the address by which other nodes reach it."""
        is_led = not self.port.local_only or status.node_id in self.places
        return is_led and covers(self.port.host_address, status.description.address)


class NetworkCheck:
    """The call `CheckNetwork`."""

    def __init__(self, *, store: Records, prober: Prober) -> None:
        self._store = store
        self._prober = prober

    async def check(self, request: CheckNetworkRequest) -> CheckNetworkResponse:
        """Asks every ready node at once. Nodes that do not answer are told, not raised.

        Raises:
            NotFound, InvalidInput: there is no such network.
        """
        view = self._store.tables
        nodes = _ready(view, request.network)
        order = sorted(nodes)
        fronts = mesh_fronts(view)
        asked = {node_id: _request(view, place, order, nodes, fronts) for place, node_id in enumerate(order)}
        async with TaskGroup() as group:
            running = {
                node_id: group.create_task(self._probe(view, nodes[node_id], probes))
                for node_id, (probes, _) in asked.items()
            }
        response = CheckNetworkResponse(problems=_away(view, nodes, whole=not request.network))
        response.asked_each = len(others(len(order), 0))
        for node_id, task in running.items():
            answer = task.result()
            if isinstance(answer, str):
                response.problems.append(answer)
            else:
                _tell(response, view, node_id, answer, asked[node_id][1])
        return response

    async def _probe(self, view: View, status: NodeStatus, request: ProbeRequest) -> ProbeResponse | str:
        agent = AgentAddress.of(status.node_id, status.description)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._prober.probe(agent, request)
        except TimeoutError:
            return f"node {hostname_of(view, status.node_id)} was not done in {CHECK_SECONDS:g} s"
        except ShoalError as error:
            return f"node {hostname_of(view, status.node_id)}: {error}"


def _ready(view: View, reference: str) -> Mapping[str, NodeStatus]:
    """The nodes to ask: those that are ready and, where a network is named, have a task on it."""
    ready = {
        node_id: status
        for node_id, status in view.node_status.items()
        if status.state == NodeStatus.READY and node_id in view.nodes
    }
    if not reference:
        return ready
    network_id = find_network(view, reference).meta.id
    taking_part = {
        task.node_id
        for task in view.tasks.values()
        if is_wanted(task) and any(address.network_id == network_id for address in task.addresses)
    }
    return {node_id: status for node_id, status in ready.items() if node_id in taking_part}


def _away(view: View, asked: Mapping[str, NodeStatus], *, whole: bool) -> list[str]:
    if not whole:
        return []
    return [f"node {hostname_of(view, node_id)} is not ready" for node_id in view.nodes if node_id not in asked]


def others(count: int, place: int) -> list[int]:
    """Which of `count` nodes the one at a place asks: all others, or of many some that lie evenly around the ring, so
    that each is asked as often as it asks. Pure."""
    if count < 2:
        return []
    most = min(count - 1, max(1, MOST_PAIRS // count))
    stride = (count - 1) // most
    return [(place + 1 + stride * step) % count for step in range(most)]


def _request(
    view: View, place: int, order: Sequence[str], nodes: Mapping[str, NodeStatus], fronts: Sequence[MeshFront]
) -> tuple[ProbeRequest, Sequence[Target]]:
    """What one node is to probe: others, and the published ports of the next one, so that each is tried once; of too
    many some, others at each node."""
    following = order[(place + 1) % len(order)]
    every = published(view, nodes[following], fronts)
    most = max(1, min(MOST_PORTS_OF_ONE, MOST_PORTS // len(order)))
    first = place * most % len(every) if len(every) > most else 0
    targets = [*every[first:], *every[:first]][:most]
    request = ProbeRequest(
        nodes=[_probed(nodes[order[other]]) for other in others(len(order), place)],
        ports=[ProbedPort(address=target.address, port=target.port, protocol=target.protocol) for target in targets],
    )
    return request, targets


def _probed(status: NodeStatus) -> ProbedNode:
    about = status.description
    return ProbedNode(node_id=status.node_id, address=about.address, vtep_mac=about.vtep_mac)


def mesh_fronts(view: View) -> list[MeshFront]:
    """The ports of every node, with where the tasks are that they lead to; none of services without tasks."""
    found = []
    for service_id, service in view.services.items():
        status = view.service_status.get(service_id)
        if status is not None and status.mesh_ports:
            places = frozenset(task.node_id for task in view.tasks_of(service_id).values() if is_wanted(task))
            found += [MeshFront(service.spec.name, port, places) for port in status.mesh_ports if places]
    return found


def published(view: View, status: NodeStatus, fronts: Iterable[MeshFront]) -> list[Target]:
    """Ports that the node is to answer at: those of its running tasks, and those of every node."""
    found: dict[Target, None] = {}
    address = status.description.address
    for task in view.tasks_on(status.node_id).values():
        if not is_wanted(task) or observed(task, view.task_status.get(task.id)) != TaskState.RUNNING:
            continue
        revision = view.revision_of(task.service_id, task.revision)
        name = revision.spec.name if revision is not None else task.service_id
        for port in task.ports:
            if _is_probed(port.host_address, address):
                place = _reached_at(port.host_address, address)
                found[Target(name, status.node_id, place, port.published, port.protocol)] = None
    for front in fronts:
        if front.is_answered_by(status):
            found[Target(front.service, status.node_id, address, front.port.published, front.port.protocol)] = None
    return list(found)


def _is_probed(host_address: str, node_address: str) -> bool:
    """Whether another node can ask there: at this address of the node's, or at the one address that is meant."""
    if host_address in (*EVERYWHERE, EVERYWHERE6):
        return covers(host_address, node_address)
    return not host_address.startswith("127.") and host_address != "::1"


def _reached_at(host_address: str, node_address: str) -> str:
    return node_address if host_address in (*EVERYWHERE, EVERYWHERE6) else host_address


def _tell(
    response: CheckNetworkResponse, view: View, node_id: str, answer: ProbeResponse, targets: Sequence[Target]
) -> None:
    own = hostname_of(view, node_id)
    for reach in answer.nodes:
        pair = NodePair(from_hostname=own, to_hostname=hostname_of(view, reach.node_id))
        pair.underlay.CopyFrom(report(reach.underlay))
        if reach.HasField("overlay"):
            pair.overlay.CopyFrom(report(reach.overlay))
        response.pairs.append(pair)
    untold = set(answer.untold)
    for place, target in enumerate(targets):
        hostname = hostname_of(view, target.node_id)
        if place in untold or place >= len(answer.ports):
            protocol = protocol_name(target.protocol)
            if len(response.unprobed) < MOST_UNPROBED:
                response.unprobed.append(f"{target.port}/{protocol} of {target.service} on {hostname}")
            continue
        error = answer.ports[place]
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


def report(path: Path) -> PathReport:
    """A path's answers in figures."""
    answers = path.answers_us
    return PathReport(
        sent=path.sent,
        received=len(answers),
        median_us=round(statistics.median(answers)) if answers else 0,
        worst_us=max(answers, default=0),
        mtu=path.mtu,
        expected_mtu=path.expected_mtu,
    )
