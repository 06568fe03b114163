"""Which nodes hold a network's tables, and how far they are, whichever manager has their sessions."""

from manager.networks.network_handler import NetworkHandler
from manager.networks.network_nodes import NetworkNodes, members_of, nodes_of
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.control_pb2 import CreateNetworkRequest, CreateServiceRequest, GetNetworkRequest
from shoal.api.v1.dispatcher_pb2 import NodeApplied
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.networks.published_ports import MESH_NETWORK
from tests.fakes.managers import FakeManagers
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


async def hold(api: Api, node_id: str, manager_id: str) -> None:
    """The node's session is with this manager."""
    status = NodeStatus()
    status.CopyFrom(api.store.tables.node_status[node_id])
    status.manager_id = manager_id
    await api.store.commit([put(kinds.NODE_STATUS, node_id, status)])


async def populate(api: Api) -> None:
    """Three nodes with a task on "front", of the managers m1, m2 and m3; a fourth without; m3 does not answer."""
    made = await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="front")), ADMIN)
    spec = spec_of()
    spec.task.networks.append(NetworkAttachment(network="front"))
    service = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
    for number in (1, 2, 3, 4):
        await api.add_node(f"node{number}", f"h{number}", NodeStatus.READY)
        await hold(api, f"node{number}", f"m{min(number, 3)}")
        if number < 4:
            task = f"t{number}"
            await api.put_task(task, service.meta.id, node=f"node{number}", network=made.network.meta.id)
    managers = [Manager(id=f"m{number}", api_address=f"m{number}:7440") for number in (1, 2, 3)]
    await api.store.commit([put(kinds.MANAGER, manager.id, manager) for manager in managers])


def test_each_manager_is_asked_for_its_own_nodes() -> None:
    async def scenario(api: Api) -> None:
        await populate(api)
        own = NodeApplied(node_id="node1", revision=90, up_to_date=True)
        others = FakeManagers({"m2:7440": [NodeApplied(node_id="node2", revision=70)]})
        nodes = NetworkNodes(applied=lambda asked: [own] if "node1" in asked else [], peers=others)
        calls = NetworkHandler(store=api.store, now_ms=lambda: 0, new_id=api.new_id, nodes=nodes)
        shown = await calls.get(GetNetworkRequest(network="front"), ADMIN)
        assert [(each.hostname, each.revision, each.up_to_date) for each in shown.nodes] == [
            ("h1", 90, True),
            ("h2", 70, False),
            ("h3", 0, False),
        ]
        assert sorted(others.requests) == [("m2:7440", ["node2"]), ("m3:7440", ["node3"])]

    with_api(scenario)


def test_every_node_holds_the_routing_mesh() -> None:
    async def scenario(api: Api) -> None:
        await populate(api)
        everywhere = nodes_of(api.store.tables, members_of(api.store.tables, MESH_NETWORK), {})
        assert [each.hostname for each in everywhere] == ["h1", "h2", "h3", "h4"]

    with_api(scenario)
