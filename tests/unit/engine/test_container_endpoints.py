"""What documents say of a container's places on networks."""

from engine.translate.containers.container_endpoints import endpoints
from engine.translate.containers.container_facts import NetworkFacts, Surroundings
from engine.translate.networks import pool_endpoints_document
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import TaskAddress, TaskLink, TaskState

FRONT = "0n1t2w3r4k5x6"
LINK = TaskLink(
    mac_address="02:53:00:00:00:07",
    pool_address="172.30.0.7/16",
    pool_address6="fd53::7/96",
    gateway="169.254.1.1",
    gateway6="fd53::1",
)
AROUND = Surroundings({FRONT: NetworkFacts("front", "f" * 64, prefix=24), "bridge": NetworkFacts("bridge", "b" * 64)})


def view(*networks: str, running: bool = True) -> ContainerView:
    found = ContainerView()
    found.container.meta.id, found.container.name = "0c1t2w3r4k5x6", "web"
    found.container.desired = Container.RUNNING if running else Container.CREATED
    found.container.definition.task.networks.extend(NetworkAttachment(network=each) for each in networks)
    found.task.id = "0t1t2w3r4k5x6"
    if running:
        found.task_status.state = TaskState.RUNNING
        found.task_status.link.CopyFrom(LINK)
    if FRONT in networks:
        found.task.addresses.append(TaskAddress(network_id=FRONT, address="10.0.0.5"))
    return found


def test_the_nodes_own_pool_is_bridge_with_its_address() -> None:
    bridge = endpoints(view(), AROUND)["bridge"]
    assert (bridge["IPAddress"], bridge["IPPrefixLen"], bridge["Gateway"]) == ("172.30.0.7", 16, "169.254.1.1")
    assert (bridge["GlobalIPv6Address"], bridge["GlobalIPv6PrefixLen"], bridge["IPv6Gateway"]) == (
        "fd53::7",
        96,
        "fd53::1",
    )
    assert bridge["MacAddress"] == "02:53:00:00:00:07"


def test_one_link_has_one_mac_address_on_all_networks() -> None:
    found = endpoints(view("bridge", FRONT), AROUND)
    assert [found[name]["IPAddress"] for name in ("bridge", "front")] == ["172.30.0.7", "10.0.0.5"]
    assert {each["MacAddress"] for each in found.values()} == {"02:53:00:00:00:07"}
    assert endpoints(view("host"), AROUND)["host"]["MacAddress"] == ""


def test_before_a_start_there_is_the_mac_address_that_was_asked_for() -> None:
    created = view(FRONT, running=False)
    assert endpoints(created, AROUND)["front"]["MacAddress"] == ""
    created.container.definition.task.container.mac_address = "02:42:ac:11:00:02"
    found = endpoints(created, AROUND)["front"]
    assert (found["MacAddress"], found["IPAddress"], found["Gateway"]) == ("02:42:ac:11:00:02", "", "")


def test_bridge_lists_those_that_have_an_address_there() -> None:
    found = pool_endpoints_document([view(), view(running=False)], "b" * 64)
    assert [(each["Name"], each["IPv4Address"], each["IPv6Address"]) for each in found.values()] == [
        ("web", "172.30.0.7/16", "fd53::7/96")
    ]
