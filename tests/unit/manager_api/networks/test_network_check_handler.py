"""The check of the network on agents that are made up."""

import asyncio
from collections import Counter
from itertools import chain

import pytest

from cli.commands.network.connectivity_check import show_paths, summarize
from manager.agents.agent_address import AgentAddress
from manager.networks.network_check_handler import MAX_PAIRS, MAX_PORTS_PER_NODE, NetworkCheckHandler, ring_neighbors
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import CheckNetworkRequest, CheckNetworkResponse, NodePair, PathReport
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, Service, ServiceRevision, ServiceStatus
from shoal.api.v1.streams_pb2 import NodeReachability, PathMeasurement, ProbeRequest, ProbeResponse
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskPort, TaskState
from shoal.errors import Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers


class Agents:
    """Every node answers as it is asked to, but for those that are silent."""

    def __init__(self, *silent: str) -> None:
        self.silent = silent
        self.asked: dict[str, ProbeRequest] = {}

    async def probe(self, agent: AgentAddress, request: ProbeRequest) -> ProbeResponse:
        self.asked[agent.node_id] = request
        if agent.node_id in self.silent:
            raise Unavailable(f"the agent at {agent.address} does not answer")
        path = PathMeasurement(sent=4, rtts_us=[300, 100, 200], mtu=1400, expected_mtu=1500)
        return ProbeResponse(
            nodes=[NodeReachability(node_id=node.node_id, underlay=path) for node in request.nodes],
            port_errors=["" if port.port != 81 else "connection refused" for port in request.ports],
            inconclusive_ports=[place for place, port in enumerate(request.ports) if port.port == 53],
        )


async def cluster(rig: Api) -> None:
    """Three nodes that are ready and one that is not; on the first a task with two published ports."""
    for number in (1, 2, 3):
        await rig.add_node(f"node{number}", f"h{number}")
    await rig.add_node("node4", "h4", NodeStatus.DOWN)
    ports = [TaskPort(protocol=PublishedPort.TCP, target=port, published=port) for port in (80, 81)]
    ports += [TaskPort(protocol=PublishedPort.UDP, target=port, published=port) for port in (53, 54)]
    ports.append(TaskPort(protocol=PublishedPort.TCP, target=1, published=1, host_address="127.0.0.1"))
    task = Task(id="t1", service_id="web", revision=1, slot=1, node_id="node1", state=TaskState.RUNNING, ports=ports)
    task.desired_state = TaskState.RUNNING
    task.addresses.append(TaskAddress(network_id="front", address="10.0.0.2"))
    revision = ServiceRevision(service_id="web", number=1, spec=spec_of())
    await rig.store.commit([put(kinds.TASK, "t1", task), put(kinds.REVISION, "web/1", revision)])


def checked(agents: Agents) -> CheckNetworkResponse:
    async def run() -> CheckNetworkResponse:
        async with two_managers() as (rig, _):
            await cluster(rig)
            return await NetworkCheckHandler(store=rig.store, prober=agents).check(CheckNetworkRequest(), ADMIN)

    return asyncio.run(run())


def test_each_node_asks_all_others_and_each_port_is_tried_once() -> None:
    agents = Agents()
    response = checked(agents)
    pairs = {(pair.from_hostname, pair.to_hostname) for pair in response.pairs}
    assert pairs == {(f"h{a}", f"h{b}") for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    path = response.pairs[0].underlay
    assert (path.sent, path.received, path.median_us, path.worst_us) == (4, 3, 200, 300)
    assert (path.mtu, path.expected_mtu) == (1400, 1500)
    tried = [(port.node_hostname, port.port, port.open, port.from_hostname, port.error) for port in response.ports]
    assert tried == [
        ("h1", 80, True, "h3", ""),
        ("h1", 81, False, "h3", "connection refused"),
        ("h1", 54, True, "h3", ""),
    ]
    assert [port.protocol for port in response.ports] == [PublishedPort.TCP, PublishedPort.TCP, PublishedPort.UDP]
    asked = [(port.port, port.protocol) for port in agents.asked["node3"].ports]
    assert (53, PublishedPort.UDP) in asked
    assert list(response.problems) == ["node h4 is not ready"]
    assert list(response.inconclusive) == ["53/udp of web on h1"]


def test_what_is_not_probed_is_told_shortly() -> None:
    assert summarize(["53/udp of dns on h1"]) == "53/udp of dns on h1"
    many = [f"{port}/udp of web on h1" for port in range(12)]
    assert summarize(many).endswith("9/udp of web on h1 and 2 more")


def test_a_node_that_does_not_answer_is_named() -> None:
    response = checked(Agents("node2"))
    assert any(problem.startswith("node h2: the agent at") for problem in response.problems)
    assert {pair.from_hostname for pair in response.pairs} == {"h1", "h3"}


def test_ports_of_every_node_are_asked_for_where_a_service_has_tasks() -> None:
    agents = Agents()

    async def run() -> CheckNetworkResponse:
        async with two_managers() as (rig, _):
            await cluster(rig)
            for service_id, published in (("web", 90), ("scaled-to-none", 91)):
                service = Service(spec=spec_of())
                service.meta.id = service_id
                mesh = PublishedPort(protocol=PublishedPort.TCP, target=80, published=published)
                local = PublishedPort(protocol=PublishedPort.TCP, target=80, published=published + 2, local_only=True)
                status = ServiceStatus(service_id=service_id, mesh_ports=[mesh, local])
                puts = [put(kinds.SERVICE, service_id, service), put(kinds.SERVICE_STATUS, service_id, status)]
                await rig.store.commit(puts)
            return await NetworkCheckHandler(store=rig.store, prober=agents).check(CheckNetworkRequest(), ADMIN)

    response = asyncio.run(run())
    tried = {(port.node_hostname, port.port) for port in response.ports if port.port >= 90}
    assert tried == {("h1", 90), ("h2", 90), ("h3", 90), ("h1", 92)}, "one for its own tasks where those are"


def test_of_too_many_ports_each_node_is_asked_for_others() -> None:
    agents = Agents()
    numbers = range(10_000, 10_000 + MAX_PORTS_PER_NODE + 200)

    async def run() -> None:
        async with two_managers() as (rig, _):
            await cluster(rig)
            service = Service(spec=spec_of())
            service.meta.id = "web"
            ports = [PublishedPort(protocol=PublishedPort.TCP, target=80, published=number) for number in numbers]
            status = ServiceStatus(service_id="web", mesh_ports=ports)
            await rig.store.commit([put(kinds.SERVICE, "web", service), put(kinds.SERVICE_STATUS, "web", status)])
            await NetworkCheckHandler(store=rig.store, prober=agents).check(CheckNetworkRequest(), ADMIN)

    asyncio.run(run())
    asked = [[port.port for port in request.ports] for request in agents.asked.values()]
    assert all(len(set(ports)) == MAX_PORTS_PER_NODE for ports in asked)
    assert {number for ports in asked for number in ports} >= set(numbers)


@pytest.mark.parametrize("count", [1, 2, 3, 60, 173, 174, 1_000, 9_999])
def test_nodes_ask_evenly_and_no_more_than_there_is_room_for(count: int) -> None:
    asked = [ring_neighbors(count, place) for place in range(count)]
    assert sum(map(len, asked)) <= MAX_PAIRS
    assert all(place not in each and len(set(each)) == len(each) for place, each in enumerate(asked))
    assert len(set(Counter(chain.from_iterable(asked)).values())) <= 1
    if count * (count - 1) <= MAX_PAIRS:
        assert {len(each) for each in asked} == {count - 1}


def test_of_many_nodes_only_what_fails_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = PathReport(sent=4, received=4, mtu=1500), PathReport(sent=4)
    pairs = [NodePair(from_hostname=f"h{number}", to_hostname="h0", underlay=good) for number in range(1, 100)]
    response = CheckNetworkResponse(pairs=pairs, peers_per_node=1)
    show_paths(response, show_all=False)
    assert capsys.readouterr().out == "99 of 99 paths are ok, each node probed 1; use --all to show them\n"
    response.pairs[7].underlay.CopyFrom(bad)
    show_paths(response, show_all=False)
    (_, line, count) = capsys.readouterr().out.splitlines()
    assert line.startswith("h8 ") and line.endswith("no response") and count.startswith("98 of 99 ")
    show_paths(response, show_all=True)
    assert len(capsys.readouterr().out.splitlines()) == 100


def test_of_no_ready_node_nothing_is_asked() -> None:
    async def run() -> CheckNetworkResponse:
        async with two_managers() as (rig, _):
            await rig.add_node("node4", "h4", NodeStatus.DOWN)
            return await NetworkCheckHandler(store=rig.store, prober=Agents()).check(CheckNetworkRequest(), ADMIN)

    assert asyncio.run(run()) == CheckNetworkResponse(problems=["node h4 is not ready"])
