"""Nodes, networks, and finding what a user means."""

import pytest

from manager.records.object_lookup import find_node, find_service, find_task
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateServiceRequest,
    GetNetworkRequest,
    GetNodeRequest,
    ListNetworksRequest,
    ListNodesRequest,
    ListTasksRequest,
    RemoveNodeRequest,
    UpdateNodeRequest,
)
from shoal.api.v1.network_pb2 import NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


def test_nodes_show_what_is_reserved() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        spec = spec_of()
        spec.task.reservations.memory_bytes = 64 << 20
        service = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
        await api.put_task("t1", service.meta.id)
        await api.put_task("t2", service.meta.id)
        await api.put_task("t3", service.meta.id, state=TaskState.FAILED)
        view = await api.nodes.get(GetNodeRequest(node="h1"), ADMIN)
        assert (view.tasks, view.reserved.memory_bytes) == (2, 128 << 20)
        assert len((await api.nodes.list(ListNodesRequest(), ADMIN)).nodes) == 1
        shown = (await api.tasks.list(ListTasksRequest(node="h1"), ADMIN)).tasks
        assert {task.task.id for task in shown} == {"t1", "t2"}
        assert len((await api.tasks.list(ListTasksRequest(service="web", include_ended=True), ADMIN)).tasks) == 3

    with_api(scenario)


def test_the_devices_of_a_node_are_told_of_it_alone_and_not_in_the_list_of_all() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        status = NodeStatus()
        status.CopyFrom(api.store.tables.node_status["node1"])
        status.description.devices.paths.append("/dev/ttyUSB0")
        await api.store.commit([put(kinds.NODE_STATUS, "node1", status)])
        assert (await api.nodes.get(GetNodeRequest(node="h1"), ADMIN)).status == status
        (listed,) = (await api.nodes.list(ListNodesRequest(), ADMIN)).nodes
        assert (listed.status.description.hostname, listed.status.description.HasField("devices")) == ("h1", False)
        assert api.store.tables.node_status["node1"] == status

    with_api(scenario)


def test_nodes_are_changed_and_removed() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        node = (await api.nodes.get(GetNodeRequest(node="h1"), ADMIN)).node
        spec = NodeSpec(availability=NodeSpec.DRAIN, labels={"disk": "ssd"})
        request = UpdateNodeRequest(node="h1", version=node.meta.version, spec=spec)
        changed = await api.nodes.update(request, ADMIN)
        assert api.store.tables.nodes["node1"] == changed.node
        with pytest.raises(Conflict):
            await api.nodes.update(request, ADMIN)
        with pytest.raises(Refused, match='node "h1" is ready'):
            await api.nodes.remove(RemoveNodeRequest(node="h1"), ADMIN)
        await api.nodes.remove(RemoveNodeRequest(node="h1", force=True), ADMIN)
        assert not api.store.tables.nodes
        assert not api.store.tables.node_status

    with_api(scenario)


def test_a_node_that_is_down_goes_without_force() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1", NodeStatus.DOWN)
        await api.nodes.remove(RemoveNodeRequest(node="node1"), ADMIN)
        assert not api.store.tables.nodes

    with_api(scenario)


def test_networks_do_not_overlap() -> None:
    async def scenario(api: Api) -> None:
        async def create(name: str, subnet: str) -> None:
            await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name=name, subnet=subnet)), ADMIN)

        await create("front", "10.1.0.0/16")
        with pytest.raises(InvalidInput, match=r'overlaps network "front"'):
            await create("back", "10.1.2.0/24")
        await create("back", "10.2.0.0/24")
        await create("any", "")
        identifier = (await api.networks.get(GetNetworkRequest(network="any"), ADMIN)).network.meta.id
        allocation = NetworkAllocation(network_id=identifier, subnet="10.9.0.0/24")
        await api.store.commit([put(kinds.ALLOCATION, identifier, allocation)])
        with pytest.raises(InvalidInput, match=r'overlaps network "any"'):
            await create("more", "10.9.0.0/28")
        with pytest.raises(AlreadyExists):
            await create("any", "")
        views = (await api.networks.list(ListNetworksRequest(), ADMIN)).networks
        assert [view.network.spec.name for view in views] == ["any", "back", "front"]
        assert views[0].allocation.subnet == "10.9.0.0/24"

    with_api(scenario)


def test_names_ids_and_beginnings() -> None:
    async def scenario(api: Api) -> None:
        for name in ("web", "db"):
            await api.services.create(CreateServiceRequest(spec=spec_of(name)), ADMIN)
        tables = api.store.tables
        assert find_service(tables, "web").spec.name == "web"
        assert find_service(tables, "n000000000002").spec.name == "db"
        with pytest.raises(InvalidInput, match="it matches 2 IDs"):
            find_service(tables, "n00000")
        with pytest.raises(NotFound, match='service "n0" not found; an ID prefix has at least 6 characters'):
            find_service(tables, "n0")
        with pytest.raises(NotFound, match='service "wbe" not found; did you mean "web"'):
            find_service(tables, "wbe")
        with pytest.raises(InvalidInput, match="a service name or ID is required"):
            find_service(tables, "")
        await api.put_task("task9", "n000000000001")
        assert find_task(tables, "web.1.task9").id == "task9"
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h1")
        with pytest.raises(InvalidInput, match='2 nodes have the hostname "h1"'):
            find_node(tables, "h1")

    with_api(scenario)
