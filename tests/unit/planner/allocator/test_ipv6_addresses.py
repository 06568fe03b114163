"""IPv6 in the plan: a subnet for each network, an address of each family, and who cannot have any."""

from ipaddress import IPv6Address, IPv6Network
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from manager.planner.ipam.address_ranges import range_of
from manager.planner.ipam.ipv6_addresses import (
    allocatable_ipv6,
    cluster_prefix,
    free_ipv6_subnets,
    ipv6_number,
    ipv6_text,
)
from manager.store import kinds
from shoal.api.v1.cluster_pb2 import Cluster
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from tests.fakes.planner_world import World

PREFIX = cluster_prefix("0000000000000")


def world(*, without: tuple[str, ...] = ()) -> World:
    made = World()
    made.put(kinds.CLUSTER, "", Cluster(meta=Meta(id="0000000000000")))
    for name in ("n0", "n1"):
        made.node(name, memory=1 << 40)
        status = NodeStatus()
        status.CopyFrom(made.tables.node_status[name])
        status.description.ipv6 = name not in without
        made.put(kinds.NODE_STATUS, name, status)
    return made


def add(world: World, spec: NetworkSpec) -> None:
    network = Network(meta=Meta(id=spec.name, created_at_ms=world.now_ms), spec=spec)
    world.put(kinds.NETWORK, spec.name, network)


def on(network: str, replicas: int = 1, **more: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.replicated.replicas = replicas
    spec.task.networks.append(NetworkAttachment(network=network, **more))
    return spec


def six(world: World, service: str) -> list[str]:
    return [task.addresses[0].address6 for task in world.tasks(service)]


def test_each_network_has_a_subnet_of_the_clusters_own_prefix() -> None:
    assert PREFIX.subnet_of(IPv6Network("fd00::/8"))
    assert cluster_prefix("0000000000001") != PREFIX
    cluster = world()
    add(cluster, NetworkSpec(name="front", ipv6=True))
    add(cluster, NetworkSpec(name="back", ipv6=True))
    add(cluster, NetworkSpec(name="plain"))
    cluster.plan()
    found = cluster.tables.allocations
    subnets = [IPv6Network(found[name].subnet6) for name in ("back", "front")]
    assert all(subnet.prefixlen == 64 and subnet.subnet_of(PREFIX) for subnet in subnets)
    assert not subnets[0].overlaps(subnets[1])
    assert found["plain"].subnet6 == ""


def test_tasks_and_services_have_an_address_of_each_family() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="front", ipv6=True))
    cluster.service("web", on("front", 3))
    cluster.plan()
    subnet = IPv6Network(cluster.tables.allocations["front"].subnet6)
    assert sorted(map(IPv6Address, six(cluster, "web"))) == [subnet[number] for number in (2, 3, 4)]
    (virtual,) = cluster.tables.service_status["web"].virtual_addresses
    assert IPv6Address(virtual.address6) in subnet
    assert virtual.address6 not in six(cluster, "web")
    assert all(task.addresses[0].address for task in cluster.tasks("web"))


def test_a_subnet_keeps_when_its_network_widens() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="front", ipv6=True))
    cluster.service("web", on("front", 400))
    cluster.plan()
    allocation = cluster.tables.allocations["front"]
    assert allocation.subnet == "10.0.0.0/23"
    assert len(set(six(cluster, "web"))) == 400
    assert IPv6Network(allocation.subnet6).prefixlen == 64


def test_addresses_that_are_asked_for_are_given_to_nobody_else() -> None:
    cluster = world()
    spec = NetworkSpec(name="lab", ipv6=True, subnet="10.9.0.0/24", subnet6="fd12::/64", gateway6="fd12::2")
    add(cluster, spec)
    cluster.service("db", on("lab", address="10.9.0.7", address6="fd12::3"))
    cluster.service("web", on("lab", 2))
    cluster.plan()
    assert six(cluster, "db") == ["fd12::3"]
    assert sorted(six(cluster, "web")) == ["fd12::4", "fd12::5"]
    cluster.service("late", on("lab", address6="fd12::5"))
    cluster.plan()
    (late,) = cluster.tasks("late")
    assert late.reason.startswith("address fd12::5 of network lab is in use by task ")


def test_a_small_subnet_is_used_up_and_says_so() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="lab", ipv6=True, subnet6="fd12::/125"))
    cluster.service("web", on("lab", 7))
    cluster.plan()
    reasons = {task.reason for task in cluster.tasks("web")} - {""}
    assert reasons == {"network lab has no free IPv6 address: all 6 are in use"}


def test_a_subnet_that_is_another_ones_is_not_given_out() -> None:
    cluster = world()
    add(cluster, NetworkSpec(name="lab", ipv6=True, subnet6="fd12::/64"))
    cluster.plan()
    add(cluster, NetworkSpec(name="late", ipv6=True, subnet6="fd12::/48"))
    cluster.plan()
    assert "late" not in cluster.tables.allocations


def test_tasks_go_only_to_nodes_that_have_it() -> None:
    cluster = world(without=("n1",))
    add(cluster, NetworkSpec(name="front", ipv6=True))
    cluster.service("web", on("front", 4))
    cluster.plan()
    assert {task.node_id for task in cluster.tasks("web")} == {"n0"}
    nowhere = world(without=("n0", "n1"))
    add(nowhere, NetworkSpec(name="front", ipv6=True))
    nowhere.service("web", on("front"))
    nowhere.plan()
    (task,) = nowhere.tasks("web")
    assert task.reason == "no suitable node: 2 of 2 lack IPv6 support for containers"


@given(st.lists(st.integers(0, 70_000), max_size=40), st.integers(40, 68))
def test_a_free_subnet_is_the_lowest_that_overlaps_none(places: list[int], length: int) -> None:
    taken = [
        IPv6Network((int(PREFIX[0]) + place * (1 << 128 - max(length, 49)) & ~((1 << 128 - length) - 1), length))
        for place in places
    ]
    for found in islice(free_ipv6_subnets(PREFIX, map(range_of, taken)), 3):
        assert found.prefixlen == 64 and found.subnet_of(PREFIX)
        assert not any(map(found.overlaps, taken))
        taken.append(found)


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xA0, 0xFFFF]), min_size=8, max_size=8))
def test_numbers_and_texts_are_the_same_addresses(groups: list[int]) -> None:
    number = sum(group << 16 * place for place, group in enumerate(groups))
    assert ipv6_text(number) == str(IPv6Address(number))
    assert ipv6_number(ipv6_text(number)) == number
    assert ipv6_number(IPv6Address(number).exploded) == number


@given(st.integers(48, 125), st.integers(0, 2**70))
def test_what_is_given_out_lies_in_the_subnet(length: int, place: int) -> None:
    base = (0xFD << 120 | place << 40) & ~((1 << 128 - length) - 1)
    cidr = IPv6Network((base, length))
    narrowed = allocatable_ipv6(str(cidr), NetworkSpec())
    assert IPv6Address(narrowed.first) in cidr and IPv6Address(narrowed.last) in cidr
    assert narrowed.first == base + 2 <= narrowed.last
