"""Networks in the plan: pools that grow, addresses that are asked for, and what the hosts use themselves."""

from ipaddress import IPv4Network

import pytest

from manager.store import kinds
from shoal.api.v1.cluster_pb2 import AddressPools, ClusterSettings
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import Endpoint, NetworkAttachment, ServiceSpec
from tests.fakes.planner_world import World

MANY = 600


def world(nodes: int = 2) -> World:
    made = World()
    for number in range(nodes):
        made.node(f"n{number}", memory=1 << 40)
    return made


def on(network: str, replicas: int, address: str = "") -> ServiceSpec:
    spec = ServiceSpec()
    spec.replicated.replicas = replicas
    spec.endpoint.mode = Endpoint.DNSRR
    spec.task.networks.append(NetworkAttachment(network=network, address=address))
    return spec


def add(world: World, spec: NetworkSpec) -> None:
    network = Network(meta=Meta(id=spec.name, created_at_ms=world.now_ms), spec=spec)
    world.put(kinds.NETWORK, spec.name, network)


def test_a_network_grows_with_its_tasks_in_one_pass() -> None:
    cluster = world()
    cluster.network("front")
    cluster.service("web", on("front", MANY))
    cluster.plan()
    allocation = cluster.tables.allocations["front"]
    assert (allocation.subnet, allocation.supernet) == ("10.0.0.0/22", "10.0.0.0/19")
    addresses = {task.addresses[0].address for task in cluster.tasks("web")}
    assert len(addresses) == MANY
    assert not any(task.reason for task in cluster.tasks("web"))


def test_a_network_that_has_filled_its_block_is_full() -> None:
    cluster = world()
    cluster.network("front")
    allocation = NetworkAllocation(network_id="front", subnet="10.0.0.0/24", supernet="10.0.0.0/23")
    cluster.put(kinds.ALLOCATION, "front", allocation)
    cluster.service("web", on("front", 509 + 5))
    cluster.plan()
    assert cluster.tables.allocations["front"].subnet == "10.0.0.0/23"
    reasons = {task.reason for task in cluster.tasks("web")} - {""}
    assert reasons == {"network front has no free address: all 509 are in use"}


def test_a_range_of_which_nothing_is_left_to_give_says_so() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="front", subnet="10.9.0.0/24", ip_range="10.9.0.8/31", gateway="10.9.0.8"))
    cluster.service("db", on("front", 1, address="10.9.0.9"))
    cluster.service("web", on("front", 1))
    cluster.plan()
    assert [task.reason for task in cluster.tasks("web")] == [
        "network front has no address to assign: all are reserved, or requested by services"
    ]


def test_a_subnet_of_the_users_choice_does_not_grow() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="front", subnet="10.9.0.0/24", ip_range="10.9.0.128/30", gateway="10.9.0.129"))
    cluster.service("web", on("front", 5))
    cluster.plan()
    given = sorted(task.addresses[0].address for task in cluster.tasks("web") if task.node_id)
    assert given == ["10.9.0.128", "10.9.0.130", "10.9.0.131"]
    assert {task.reason for task in cluster.tasks("web")} == {
        "",
        "network front has no free address: all 3 are in use",
    }


def test_a_network_is_not_put_where_hosts_have_addresses_or_routes() -> None:
    cluster = world(1)
    status = NodeStatus()
    status.CopyFrom(cluster.tables.node_status["n0"])
    status.description.address = "10.0.33.1"
    status.description.host_prefixes.extend(["10.0.0.0/20", "fd00::/8", "10.0.70.0/24"])
    cluster.put(kinds.NODE_STATUS, "n0", status)
    cluster.network("a")
    cluster.network("b")
    cluster.plan()
    found = {name: allocation.subnet for name, allocation in cluster.tables.allocations.items()}
    assert found == {"a": "10.0.96.0/24", "b": "10.0.128.0/24"}


def test_when_blocks_are_used_up_networks_share_one_and_growth_stops_at_the_neighbour() -> None:
    cluster = world()
    cluster.network("first")
    cluster.plan()
    status = NodeStatus()
    status.CopyFrom(cluster.tables.node_status["n0"])
    rest = IPv4Network("10.0.0.0/8").address_exclude(IPv4Network("10.0.0.0/19"))
    status.description.host_prefixes.extend(map(str, rest))
    cluster.put(kinds.NODE_STATUS, "n0", status)
    cluster.network("second")
    cluster.service("web", on("first", MANY))
    cluster.plan()
    cluster.plan()
    allocations = cluster.tables.allocations
    assert (allocations["second"].subnet, allocations["second"].supernet) == ("10.0.1.0/24", "")
    assert allocations["first"].subnet == "10.0.0.0/24"


def test_an_address_that_is_asked_for_is_given_to_nobody_else() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="front", subnet="10.9.0.0/24"))
    cluster.service("db", on("front", 0, "10.9.0.3"))
    cluster.service("web", on("front", 3))
    cluster.settle()
    assert {task.addresses[0].address for task in cluster.running("web")} == {"10.9.0.2", "10.9.0.4", "10.9.0.5"}
    cluster.service("db", on("front", 1, "10.9.0.3"))
    cluster.settle()
    assert [task.addresses[0].address for task in cluster.running("db")] == ["10.9.0.3"]


def test_a_successor_waits_for_the_address_of_its_predecessor() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="front", subnet="10.9.0.0/24"))
    cluster.service("db", on("front", 1, "10.9.0.3"))
    cluster.settle()
    changed = on("front", 1, "10.9.0.3")
    changed.task.container.image = "other"
    cluster.service("db", changed)
    cluster.settle()
    assert [task.addresses[0].address for task in cluster.running("db")] == ["10.9.0.3"]


def test_an_address_on_a_lost_node_is_not_given_twice_and_that_is_told() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="front", subnet="10.9.0.0/24"))
    cluster.service("db", on("front", 1, "10.9.0.3"))
    cluster.settle()
    (first,) = cluster.running("db")
    cluster.set_state(first.node_id, NodeStatus.DOWN)
    cluster.plan()
    (waiting,) = [task for task in cluster.desired("db") if not task.node_id]
    assert waiting.reason.startswith("address 10.9.0.3 of network front is in use by task ")
    assert f"which is down; free it with `shoal node rm {first.node_id}`" in waiting.reason


@pytest.mark.parametrize("mode", ["host", "none", "bridge"])
def test_modes_need_no_network(mode: str) -> None:
    cluster = world()
    cluster.service("web", on(mode, 2))
    cluster.settle()
    assert [list(task.addresses) for task in cluster.running("web")] == [[], []]


@pytest.mark.parametrize(
    ("pools", "length", "first", "supernet"),
    [
        (["172.20.0.0/14"], 0, "172.20.0.0/24", "172.20.0.0/19"),
        (["192.168.0.0/22"], 26, "192.168.0.0/26", ""),
        (["172.20.0.0/14"], 16, "172.20.0.0/16", "172.20.0.0/16"),
    ],
)
def test_networks_get_their_subnets_from_the_pools_of_the_settings(
    pools: list[str], length: int, first: str, supernet: str
) -> None:
    cluster = world()
    settings = ClusterSettings(address_pools=AddressPools(pools=pools, prefix_length=length))
    cluster.put(kinds.CLUSTER_SETTINGS, "", settings)
    cluster.network("front")
    cluster.plan()
    allocation = cluster.tables.allocations["front"]
    assert (allocation.subnet, allocation.supernet) == (first, supernet)


def test_a_pool_that_is_used_up_is_followed_by_the_next() -> None:
    cluster = world()
    settings = ClusterSettings(address_pools=AddressPools(pools=["192.168.0.0/24", "172.20.0.0/24"], prefix_length=25))
    cluster.put(kinds.CLUSTER_SETTINGS, "", settings)
    for number in range(5):
        cluster.network(f"n{number}")
    cluster.plan()
    subnets = {each.subnet for each in cluster.tables.allocations.values()}
    assert subnets == {"192.168.0.0/25", "192.168.0.128/25", "172.20.0.0/25", "172.20.0.128/25"}
