"""Networks and volumes of containers: joined and left while they run, and kept from removal while they are used."""

import pytest

from manager.networks.network_handler import services_on
from manager.store import kinds
from manager.store.changes import put
from manager.volumes import volume_references
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.engine_pb2 import ConnectContainerRequest, CreateContainerRequest, DisconnectContainerRequest
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort
from shoal.container_ids import short_container_id
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.networks.published_ports import MESH_NETWORK
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN


def _connect(network: str, address: str = "") -> ConnectContainerRequest:
    attachment = NetworkAttachment(network=network, address=address, aliases=["store"])
    return ConnectContainerRequest(container="db", attachment=attachment)


def test_a_network_is_joined_and_left_while_it_runs() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.add_network("front")
        await rig.add_network("back", "10.9.0.0/24")
        running = await rig.run("db")
        for network, address in (("front", ""), ("back", "10.9.0.9")):
            connected = await rig.networks.connect(_connect(network, address), ADMIN)
        assert connected.task.id == running.task.id
        places = {each.network_id: each.address for each in connected.task.addresses}
        assert places.keys() == {"front", "back"}
        assert places["back"] == "10.9.0.9"
        revision = rig.store.tables.revision_of(running.container.meta.id, connected.container.revision)
        assert revision is not None
        short = short_container_id(running.container.meta.id)
        networks = revision.spec.task.networks
        assert [each.network for each in networks] == ["bridge", "front", "back"], "as with Docker, it keeps the first"
        assert [*networks[1].aliases] == ["store", short]
        left = await rig.networks.disconnect(DisconnectContainerRequest(container="db", network="front"), ADMIN)
        assert [each.network_id for each in left.task.addresses] == ["back"]
        assert left.task_status.revision == left.container.revision, "answered once its node has done it"

    with_rig(scenario)


def test_what_cannot_be_joined_or_left() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.add_network("front")
        await rig.run("db")
        await rig.networks.connect(_connect("front"), ADMIN)
        with pytest.raises(Refused, match="already connected"):
            await rig.networks.connect(_connect("front"), ADMIN)
        with pytest.raises(InvalidInput, match="no user-defined subnet"):
            await rig.add_network("other")
            await rig.networks.connect(_connect("other", "10.9.0.9"), ADMIN)
        with pytest.raises(NotFound):
            await rig.networks.disconnect(DisconnectContainerRequest(container="db", network="other"), ADMIN)
        made = definition()
        made.task.networks.append(NetworkAttachment(network="host"))
        await rig.records.create(CreateContainerRequest(name="hosts", definition=made), ADMIN)
        with pytest.raises(Refused, match="uses network mode host"):
            request = _connect("front")
            request.container = "hosts"
            await rig.networks.connect(request, ADMIN)

    with_rig(scenario)


def test_without_its_last_network_it_has_none_and_may_join_another() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.add_network("front")
        await rig.run("db")

        async def disconnect(network: str) -> list[str]:
            left = await rig.networks.disconnect(DisconnectContainerRequest(container="db", network=network), ADMIN)
            return [each.network for each in left.container.definition.task.networks]

        assert await disconnect("bridge") == ["none"], "the one that is implied"
        with pytest.raises(NotFound):
            await disconnect("bridge")
        with pytest.raises(Refused, match="network mode none"):
            await disconnect("none")
        joined = await rig.networks.connect(_connect("front"), ADMIN)
        assert [each.network for each in joined.container.definition.task.networks] == ["front"]
        again = ConnectContainerRequest(container="db", attachment=NetworkAttachment(network="bridge"))
        both = await rig.networks.connect(again, ADMIN)
        assert [each.network for each in both.container.definition.task.networks] == ["front", "bridge"]
        with pytest.raises(Refused, match="already connected"):
            await rig.networks.connect(again, ADMIN)
        assert await disconnect("bridge") == ["front"]
        assert await disconnect("front") == ["none"]

    with_rig(scenario)


def test_ports_need_a_way_out_which_the_nodes_pool_is() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.add_network("secret")
        network = Network(meta=Meta(id="secret"), spec=NetworkSpec(name="secret", internal=True))
        await rig.store.commit([put(kinds.NETWORK, "secret", network)])
        made = definition(ports=[PublishedPort(target=80)])
        made.task.networks.append(NetworkAttachment(network="secret"))
        with pytest.raises(InvalidInput, match="internal"):
            await rig.records.create(CreateContainerRequest(name="db", definition=made), ADMIN)
        made.task.networks.append(NetworkAttachment(network="bridge"))
        await rig.records.create(CreateContainerRequest(name="db", definition=made), ADMIN)

    with_rig(scenario)


def test_networks_and_volumes_know_the_containers_that_use_them() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.add_network("front")
        made = definition(ports=[PublishedPort(target=80)])
        made.task.networks.append(NetworkAttachment(network="front"))
        for target in ("/a", "/b"):
            made.task.container.mounts.add(type=Mount.VOLUME, source="data", target=target)
        await rig.records.create(CreateContainerRequest(name="db", definition=made), ADMIN)
        view = rig.store.tables
        assert services_on(view, "front") == services_on(view, MESH_NETWORK) == ["container db"]
        (volume,) = view.volumes.values()
        assert volume_references.users(view) == {volume.meta.id: ["container db"]}
        await rig.remove("db", volumes=True)
        assert list(view.volumes) == [volume.meta.id], "it has a name, so it is its user's"

    with_rig(scenario)


def test_a_bind_mount_needs_a_node() -> None:
    async def scenario(rig: ContainerRig) -> None:
        made = definition()
        made.task.container.mounts.add(type=Mount.BIND, source="/srv", target="/srv")
        with pytest.raises(InvalidInput, match="name the node"):
            await rig.records.create(CreateContainerRequest(name="db", definition=made), ADMIN)
        created = await rig.records.create(CreateContainerRequest(name="db", definition=made, node="h2"), ADMIN)
        assert created.node_hostname == "h2"

    with_rig(scenario)
