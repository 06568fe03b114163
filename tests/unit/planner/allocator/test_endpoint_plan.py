"""A service's own addresses and the ports of every node: given once, kept, unique, free again at the end."""

from shoal.api.v1.service_pb2 import Endpoint, NetworkAttachment, PublishedPort, ServiceSpec, ServiceStatus
from shoal.networks.published_ports import MESH_NETWORK
from tests.fakes.planner_world import World


def world() -> World:
    cluster = World()
    for name in ("h1", "h2"):
        cluster.node(name)
    cluster.network(MESH_NETWORK)
    cluster.network("front")
    return cluster


def spec(name: str, *ports: PublishedPort, networks: tuple[str, ...] = ("front",), replicas: int = 2) -> ServiceSpec:
    made = ServiceSpec(name=name, endpoint=Endpoint(ports=ports))
    made.replicated.replicas = replicas
    made.task.networks.extend(NetworkAttachment(network=network) for network in networks)
    return made


def port(published: int = 0, *, host_address: str = "", **more: int) -> PublishedPort:
    return PublishedPort(target=80, published=published, host_address=host_address, **more)  # type: ignore[arg-type]


def status(cluster: World, name: str) -> ServiceStatus:
    return cluster.tables.service_status[name]


def test_a_service_has_an_address_of_its_own_on_each_network_and_keeps_it() -> None:
    cluster = world()
    cluster.network("back")
    cluster.service("web", spec("web", networks=("front", "back")))
    cluster.settle()
    before = list(status(cluster, "web").virtual_addresses)
    assert [place.network_id for place in before] == ["front", "back"]
    tasks = {address.address for task in cluster.running("web") for address in task.addresses}
    assert not tasks & {place.address for place in before}
    cluster.service("web", spec("web", networks=("front", "back"), replicas=5))
    cluster.settle()
    assert list(status(cluster, "web").virtual_addresses) == before
    cluster.check_resources()


def test_a_service_that_leaves_a_network_keeps_its_address_there_until_its_last_task_has() -> None:
    cluster = world()
    cluster.network("back")
    cluster.service("web", spec("web", networks=("front", "back")))
    cluster.settle()
    before = list(status(cluster, "web").virtual_addresses)
    cluster.service("web", spec("web", networks=("front",)))
    cluster.plan()
    assert list(status(cluster, "web").virtual_addresses) == before
    cluster.settle()
    assert list(status(cluster, "web").virtual_addresses) == before[:1]
    cluster.check_resources()


def test_a_service_whose_name_leads_to_its_tasks_has_none() -> None:
    cluster = world()
    desired = spec("web")
    desired.endpoint.mode = Endpoint.DNSRR
    cluster.service("web", desired)
    cluster.settle()
    assert "web" not in cluster.tables.service_status or not status(cluster, "web").virtual_addresses


def test_an_address_that_a_service_gives_up_is_another_ones() -> None:
    cluster = world()
    cluster.service("web", spec("web"))
    cluster.settle()
    address = status(cluster, "web").virtual_addresses[0].address
    cluster.remove_service("web")
    cluster.settle()
    assert "web" not in cluster.tables.service_status
    cluster.service("shop", spec("shop"))
    cluster.settle()
    assert status(cluster, "shop").virtual_addresses[0].address == address


def test_a_service_that_found_no_address_gets_one_when_a_task_of_another_one_ends() -> None:
    cluster = world()
    cluster.network("tight", "10.7.0.0/29")  # five addresses beside the gateway's
    cluster.service("db", spec("db", networks=("tight",)))
    cluster.settle()
    cluster.service("web", spec("web", networks=("tight",)))
    cluster.settle()
    assert len(cluster.running("web")) == 2
    assert list(status(cluster, "web").problems) == ["network tight has no free address for the service's virtual IP"]
    cluster.service("db", spec("db", networks=("tight",), replicas=1))
    cluster.settle()
    assert len(status(cluster, "web").virtual_addresses) == 1
    assert not status(cluster, "web").problems


def test_tasks_behind_a_port_of_every_node_are_on_the_meshs_network() -> None:
    cluster = world()
    cluster.service("web", spec("web", port(8080)))
    cluster.settle()
    assert [each.published for each in status(cluster, "web").mesh_ports] == [8080]
    assert [place.network_id for place in status(cluster, "web").virtual_addresses] == ["front"]
    for task in cluster.running("web"):
        assert [address.network_id for address in task.addresses] == ["front", MESH_NETWORK]
        assert not task.ports


def test_another_port_restarts_nothing() -> None:
    cluster = world()
    cluster.service("web", spec("web", port(8080)))
    cluster.settle()
    before = {task.id for task in cluster.running("web")}
    cluster.service("web", spec("web", port(8081), port(9090)))
    cluster.settle()
    assert {task.id for task in cluster.running("web")} == before
    assert [each.published for each in status(cluster, "web").mesh_ports] == [8081, 9090]


def test_numbers_that_are_left_open_are_chosen_once_and_differ() -> None:
    cluster = world()
    cluster.service("web", spec("web", port(), port()))
    cluster.service("shop", spec("shop", port()))
    cluster.settle()
    chosen = [each.published for name in ("web", "shop") for each in status(cluster, name).mesh_ports]
    assert len(set(chosen)) == 3
    assert all(30_000 <= number < 32_768 for number in chosen)
    cluster.service("web", spec("web", port(), port(), replicas=4))
    cluster.settle()
    assert [each.published for each in status(cluster, "web").mesh_ports] == chosen[:2]


def test_a_number_of_a_range_is_chosen_and_kept() -> None:
    cluster = world()
    for name in ("web", "shop"):
        cluster.service(name, spec(name, port(published_first=9000, published_last=9001)))
    cluster.settle()
    chosen = [each.published for name in ("web", "shop") for each in status(cluster, name).mesh_ports]
    assert sorted(chosen) == [9000, 9001]
    cluster.service("web", spec("web", port(published_first=9000, published_last=9009), replicas=4))
    cluster.service("last", spec("last", port(published_first=9000, published_last=9001)))
    cluster.settle()
    assert [each.published for each in status(cluster, "web").mesh_ports] == chosen[:1]
    assert list(status(cluster, "last").problems) == [
        f"port 9000/tcp is already published by service {'web' if chosen[0] == 9000 else 'shop'}"
    ]


def test_services_whose_ports_are_exchanged_get_each_others() -> None:
    cluster = world()
    for first, second in ((8080, 8081), (8081, 8080)):
        cluster.service("web", spec("web", port(first)))
        cluster.service("shop", spec("shop", port(second)))
        cluster.settle()
        assert [status(cluster, name).mesh_ports[0].published for name in ("web", "shop")] == [first, second]
        assert not any(status(cluster, name).problems for name in ("web", "shop"))


def test_a_port_that_another_service_has_is_told_and_given_once_it_is_free() -> None:
    cluster = world()
    cluster.service("web", spec("web", port(8080)))
    cluster.settle()
    cluster.service("shop", spec("shop", port(8080)))
    cluster.settle()
    assert not status(cluster, "shop").mesh_ports
    assert list(status(cluster, "shop").problems) == ["port 8080/tcp is already published by service web"]
    cluster.remove_service("web")
    cluster.settle()
    assert [each.published for each in status(cluster, "shop").mesh_ports] == [8080]
    assert not status(cluster, "shop").problems


def test_a_port_of_one_address_goes_beside_that_of_another() -> None:
    cluster = world()
    cluster.service("web", spec("web", port(8080, host_address="127.0.0.1")))
    cluster.service("shop", spec("shop", port(8080, host_address="192.0.2.1")))
    cluster.settle()
    assert status(cluster, "web").mesh_ports and status(cluster, "shop").mesh_ports


def test_a_task_on_its_node_gets_no_number_of_the_mesh() -> None:
    cluster = world()
    cluster.service("web", spec("web", port()))
    cluster.settle()
    taken = status(cluster, "web").mesh_ports[0].published
    cluster.service("own", spec("own", port(mode=PublishedPort.HOST)))
    cluster.settle()
    assert all(task.ports[0].published != taken for task in cluster.running("own"))
