"""Ports that programs of hosts have: refused, warned of, and told of what runs."""

import pytest

from manager.networks.host_port_conflicts import conflicts, warnings
from manager.services.task_counts import service_view
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import CreateServiceRequest, UpdateServiceRequest
from shoal.api.v1.node_pb2 import HostListener, NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec, ServiceStatus
from shoal.errors import InvalidInput
from shoal.networks.published_ports import listens_on
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

HOST, MESH, UDP = PublishedPort.HOST, PublishedPort.INGRESS, PublishedPort.UDP


def spec(published: int, mode: PublishedPort.Mode.ValueType = MESH, *constraints: str) -> ServiceSpec:
    made = spec_of("web")
    made.endpoint.ports.add(target=80, published=published, mode=mode)
    made.task.placement.constraints.extend(constraints)
    return made


async def listen(api: Api, node_id: str, hostname: str, *ports: int, program: str = "nginx", address: str = "") -> None:
    """A node on which programs listen."""
    await api.add_node(node_id, hostname)
    status = NodeStatus()
    status.CopyFrom(api.store.tables.node_status[node_id])
    for port in ports:
        status.network_condition.listeners.add(protocol=PublishedPort.TCP, port=port, program=program, address=address)
    await api.store.commit([put(kinds.NODE_STATUS, node_id, status)])


@pytest.mark.parametrize(
    ("listener", "port", "answer"),
    [
        (HostListener(protocol=PublishedPort.TCP, port=80), PublishedPort(published=80), True),
        (HostListener(protocol=PublishedPort.UDP, port=80), PublishedPort(published=80), False),
        (HostListener(protocol=PublishedPort.TCP, port=80), PublishedPort(published=80, host_address="10.0.0.1"), True),
        (HostListener(protocol=PublishedPort.TCP, port=80, address="127.0.0.1"), PublishedPort(published=80), True),
        (
            HostListener(protocol=PublishedPort.TCP, port=80, address="127.0.0.1"),
            PublishedPort(published=80, host_address="::1"),
            False,
        ),
        (
            HostListener(protocol=PublishedPort.UDP, port=53, address="127.0.0.53"),
            PublishedPort(published=53, protocol=UDP),
            False,
        ),
        (HostListener(protocol=PublishedPort.UDP, port=53), PublishedPort(published=53, protocol=UDP), True),
    ],
)
def test_who_has_a_port(listener: HostListener, port: PublishedPort, answer: bool) -> None:
    assert listens_on(listener, port) is answer


def test_a_port_of_the_mesh_that_a_program_has_on_any_node_is_refused_by_its_name() -> None:
    async def scenario(api: Api) -> None:
        await listen(api, "node1", "h1")
        await listen(api, "node2", "h2", 8080)
        with pytest.raises(
            InvalidInput, match="8080/tcp is already in use on h2 by nginx; stop that program or publish another port"
        ):
            await api.services.create(CreateServiceRequest(spec=spec(8080)), ADMIN)
        await api.services.create(CreateServiceRequest(spec=spec(8081)), ADMIN)

    with_api(scenario)


def test_a_port_that_the_service_has_already_is_not_asked_for_again_but_told() -> None:
    async def scenario(api: Api) -> None:
        service = (await api.services.create(CreateServiceRequest(spec=spec(8080)), ADMIN)).service
        status = ServiceStatus(service_id=service.meta.id, mesh_ports=service.spec.endpoint.ports)
        await api.store.commit([put(kinds.SERVICE_STATUS, service.meta.id, status)])
        await listen(api, "node2", "h2", 8080)
        changed = spec(8080)
        changed.replicated.replicas = 9
        await api.services.update(
            UpdateServiceRequest(service="web", version=service.meta.version, spec=changed), ADMIN
        )
        reported = list(service_view(api.store.tables, service).warnings)
        assert reported == [
            "8080/tcp is already in use on h2 by nginx; requests to these nodes do not reach the service"
        ]

    with_api(scenario)


def test_a_port_of_tasks_own_nodes_is_refused_when_no_node_is_left_and_warned_of_before() -> None:
    async def scenario(api: Api) -> None:
        await listen(api, "node1", "h1")
        await listen(api, "node2", "h2", 8080)
        view = api.store.tables
        assert not list(conflicts(view, spec(8080, HOST), None))
        assert list(warnings(view, spec(8080, HOST))) == [
            "web: 8080/tcp is already in use on h2 by nginx; no tasks are scheduled there",
        ]
        (fault,) = conflicts(view, spec(8080, HOST, "node.hostname == h2"), None)
        assert "already in use on h2 by nginx" in fault.message

    with_api(scenario)


def test_many_nodes_are_counted() -> None:
    async def scenario(api: Api) -> None:
        for number in range(5):
            await listen(api, f"node{number}", f"h{number}", 22, program="sshd")
        (fault,) = conflicts(api.store.tables, spec(22), None)
        assert "h0 by sshd, h1 by sshd, h2 by sshd and 2 more nodes" in fault.message

    with_api(scenario)
