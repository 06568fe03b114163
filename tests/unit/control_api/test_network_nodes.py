"""Which nodes hold a network's tables, and how far they are."""

from manager.control_api.network_nodes import nodes_of
from manager.control_api.networks import Networks
from shoal.api.v1.control_pb2 import CreateNetworkRequest, CreateServiceRequest, GetNetworkRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.published_ports import MESH_NETWORK
from tests.unit.control_api.control_rig import Api, spec_of, with_api


def test_nodes_with_a_task_on_the_network_are_told_with_their_revision() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await api.add_node("node2", "h2", NodeStatus.DOWN)
        await api.add_node("node3", "h3")
        made = await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="front")))
        network = made.network.meta.id
        spec = spec_of()
        spec.task.networks.append(NetworkAttachment(network="front"))
        service = (await api.services.create(CreateServiceRequest(spec=spec))).service
        for task, node in (("t1", "node1"), ("t2", "node2")):
            await api.put_task(task, service.meta.id, node=node, network=network)
        newest = api.store.tables.revision
        known = {"node1": newest}
        calls = Networks(store=api.store, now_ms=lambda: 0, new_id=api.new_id, applied=known.get)
        shown = await calls.get(GetNetworkRequest(network="front"))
        assert [(each.hostname, each.revision, each.up_to_date) for each in shown.nodes] == [
            ("h1", newest, True),
            ("h2", 0, False),
        ]
        everywhere = nodes_of(api.store.tables, MESH_NETWORK, {"node1": newest - 1}.get)
        assert [(each.hostname, each.revision, each.up_to_date) for each in everywhere] == [
            ("h1", newest - 1, False),
            ("h2", 0, False),
            ("h3", 0, False),
        ]

    with_api(scenario)
