"""Ports of every node through the control API: the mesh's network, and who has which port."""

import pytest

from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateServiceRequest,
    RemoveNetworkRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort, Service, ServiceSpec
from shoal.errors import AlreadyExists, InvalidInput, Refused
from shoal.networks.published_ports import MESH_NETWORK
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

HOST = PublishedPort.HOST


def spec(name: str, published: int, mode: PublishedPort.Mode.ValueType = PublishedPort.INGRESS) -> ServiceSpec:
    made = spec_of(name)
    made.endpoint.ports.add(target=80, published=published, mode=mode)
    return made


async def create(api: Api, desired: ServiceSpec) -> Service:
    return (await api.services.create(CreateServiceRequest(spec=desired), ADMIN)).service


def test_the_meshs_network_is_made_when_a_service_first_needs_it() -> None:
    async def scenario(api: Api) -> None:
        await create(api, spec_of("plain"))
        assert MESH_NETWORK not in api.store.tables.networks
        await create(api, spec("web", 8080))
        await create(api, spec("shop", 8081))
        assert api.store.tables.networks[MESH_NETWORK].spec.subnet == "10.255.0.0/16"
        with pytest.raises(Refused, match="in use by shop, web"):
            await api.networks.remove(RemoveNetworkRequest(network=MESH_NETWORK), ADMIN)

    with_api(scenario)


def test_the_meshs_network_may_be_made_with_a_subnet_of_ones_own() -> None:
    async def scenario(api: Api) -> None:
        own = NetworkSpec(name="my own", subnet="10.11.0.0/16", gateway="10.11.0.2", labels={"a": "b"})
        made = (await api.networks.create(CreateNetworkRequest(spec=own, mesh=True), ADMIN)).network
        assert (made.meta.id, made.spec.name, made.spec.subnet) == (MESH_NETWORK, MESH_NETWORK, "10.11.0.0/16")
        assert made.spec.labels["a"] == "b"
        with pytest.raises(AlreadyExists):
            await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(), mesh=True), ADMIN)
        await create(api, spec("web", 8080))
        assert api.store.tables.networks[MESH_NETWORK].spec.subnet == "10.11.0.0/16"
        for bad in (NetworkSpec(internal=True), NetworkSpec(subnet="10.12.0.1/16")):
            with pytest.raises(InvalidInput):
                await api.networks.create(CreateNetworkRequest(spec=bad, mesh=True), ADMIN)

    with_api(scenario)


def test_names_of_networks_may_have_blanks_within() -> None:
    async def scenario(api: Api) -> None:
        await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="test 01")), ADMIN)
        assert api.store.tables.network_named("test 01") is not None
        for bad in (" a", "a ", "a  b", " ", "a\tb", "a\nb"):
            with pytest.raises(InvalidInput):
                await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name=bad)), ADMIN)

    with_api(scenario)


def test_a_range_for_tasks_keeps_clear_of_the_mesh() -> None:
    def ranged(name: str, mode: PublishedPort.Mode.ValueType, first: int = 8080) -> ServiceSpec:
        made = spec_of(name)
        made.endpoint.ports.add(target=80, published_first=first, published_last=8090, mode=mode)
        return made

    async def scenario(api: Api) -> None:
        await create(api, spec("web", 8085))
        with pytest.raises(InvalidInput, match='overlaps the port range published by service "web"'):
            await create(api, ranged("shop", HOST))
        await create(api, ranged("shop", PublishedPort.INGRESS))
        with pytest.raises(InvalidInput, match='overlaps the port range published by service "shop"'):
            await create(api, ranged("own", HOST, 8086))

    with_api(scenario)


def test_its_subnet_keeps_clear_of_others() -> None:
    async def scenario(api: Api) -> None:
        await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="wide", subnet="10.255.128.0/24")), ADMIN)
        await create(api, spec("web", 8080))
        assert api.store.tables.networks[MESH_NETWORK].spec.subnet == "10.254.0.0/16"

    with_api(scenario)


@pytest.mark.parametrize(("first", "second"), [(PublishedPort.INGRESS, HOST), (HOST, PublishedPort.INGRESS)])
def test_a_port_of_every_node_is_one_services(
    first: PublishedPort.Mode.ValueType, second: PublishedPort.Mode.ValueType
) -> None:
    async def scenario(api: Api) -> None:
        web = await create(api, spec("web", 8080, first))
        with pytest.raises(InvalidInput, match='8080/tcp is already published by service "web"'):
            await create(api, spec("shop", 8080, second))
        await api.services.update(
            UpdateServiceRequest(service="web", version=web.meta.version, spec=spec("web", 8081, first)), ADMIN
        )
        await create(api, spec("shop", 8080, second))

    with_api(scenario)


def test_two_services_may_publish_the_same_port_on_their_own_nodes() -> None:
    async def scenario(api: Api) -> None:
        await create(api, spec("web", 8080, HOST))
        await create(api, spec("shop", 8080, HOST))

    with_api(scenario)


def test_nobody_else_is_on_the_meshs_network() -> None:
    async def scenario(api: Api) -> None:
        await create(api, spec("web", 8080))
        desired = spec_of("shop")
        desired.task.networks.append(NetworkAttachment(network=MESH_NETWORK))
        with pytest.raises(InvalidInput, match="routing mesh"):
            await create(api, desired)
        with pytest.raises(InvalidInput, match="routing mesh"):
            await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name=MESH_NETWORK)), ADMIN)

    with_api(scenario)


def test_a_service_without_a_way_out_has_no_port_of_every_node() -> None:
    async def scenario(api: Api) -> None:
        await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="inner", internal=True)), ADMIN)
        desired = spec("web", 8080)
        desired.task.networks.append(NetworkAttachment(network="inner"))
        with pytest.raises(InvalidInput, match="internal"):
            await create(api, desired)

    with_api(scenario)
