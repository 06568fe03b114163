"""From the planner's word to the kernel's tables: pure, so tested as values."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.attachments.attachment import Attachment, Port, choose_egress_address, parse_alias, port_from_message
from agent.network.attachments.local_pool import next_address
from agent.network.cluster_state.overlay_tables import OverlaySubnet, OverlayTables, overlay_tables, table_diff
from agent.network.kernel_state import additions, desired_state, plan, removals
from agent.network.netlink.rtnetlink import FdbEntry, KernelRoute, Neighbour
from agent.network.network_settings import NetworkSettings
from agent.network.nftables import set_elements
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.task_pb2 import TaskAddress, TaskPort
from shoal.errors import Exhausted, InvalidInput
from shoal.networks.vtep import vtep_mac

POOL = IPv4Network("172.30.0.0/28")
NODE_A, NODE_B = IPv4Address("172.31.0.1"), IPv4Address("172.31.0.2")


def endpoint(task_id: str, node: str, address: str) -> TaskEndpoint:
    return TaskEndpoint(task_id=task_id, node_id=node, addresses=[TaskAddress(network_id="n", address=address)])


def test_remote_endpoints_have_routes_and_own_ones_have_none() -> None:
    networks = [NetworkAssignment(network_id="n", name="front", subnet="10.0.1.0/24")]
    peers = [Peer(node_id="a", address=str(NODE_A), vtep_mac="02:56:AC:1F:00:01")]
    found = overlay_tables(
        networks, [endpoint("1", "a", "10.0.1.1"), endpoint("2", "me", "10.0.1.2"), endpoint("3", "b", "10.0.1.3")],
        peers, "me",
    )  # fmt: skip
    assert found.routes == {IPv4Address("10.0.1.1"): NODE_A}
    assert found.peers == {NODE_A: "02:56:ac:1f:00:01"}
    assert found.subnets == {"n": OverlaySubnet(IPv4Network("10.0.1.0/24"), internal=False)}


def test_all_faults_are_told_at_once() -> None:
    networks = [
        NetworkAssignment(network_id="a", name="one", subnet="10.0.0.0/16"),
        NetworkAssignment(network_id="b", name="two", subnet="10.0.1.0/24"),
        NetworkAssignment(network_id="c", name="three", subnet="10.0.1.1/24"),
    ]
    with pytest.raises(InvalidInput) as caught:
        overlay_tables(networks, [], [Peer(node_id="x", address="host")], "me")
    assert [fault.path for fault in caught.value.faults] == ["peer x", "network three", "network b"]


def attachment(number: int, ports: tuple[Port, ...] = ()) -> Attachment:
    address = IPv4Address(f"10.0.1.{number}")
    return Attachment(f"task{number:09}", 10 + number, f"02:00:00:00:00:{number:02x}", {"n": address}, address, ports)


def test_exit_is_the_first_network_that_may_leave() -> None:
    subnets = {"in": OverlaySubnet(POOL, internal=True), "out": OverlaySubnet(POOL, internal=False)}
    one, two = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    assert choose_egress_address({"in": one, "out": two}, subnets, False) == two
    assert choose_egress_address({"in": one}, subnets, False) is None
    assert choose_egress_address({"in": one, "out": two}, subnets, True) is None
    assert choose_egress_address({"": one}, {}, False) == one


def test_exit_of_a_task_behind_the_routing_mesh_is_where_its_clients_ask() -> None:
    subnets = {"own": OverlaySubnet(POOL, internal=False), "mesh": OverlaySubnet(POOL, internal=False, mesh=True)}
    one, two = IPv4Address("10.0.0.1"), IPv4Address("10.255.0.1")
    assert choose_egress_address({"own": one, "mesh": two}, subnets, False) == two
    assert choose_egress_address({"own": one, "mesh": two}, subnets, True) is None
    assert choose_egress_address({"own": one}, subnets, False) == one


def test_a_links_alias_tells_what_was_written() -> None:
    one = attachment(1)
    alias = parse_alias(one.alias)
    assert alias is not None
    assert (alias.task_id, alias.mac, alias.egress_address, alias.local) == (
        one.task_id,
        one.mac,
        one.egress_address,
        None,
    )
    assert parse_alias("somebody else's words") is None
    assert len(one.name) <= 15


def test_ports_are_read_with_protocol_numbers() -> None:
    assert port_from_message(TaskPort(protocol=0, target=80, published=8080)) == Port(6, None, 8080, 80)
    given_host = TaskPort(protocol=2, target=53, published=53, host_address="127.0.0.1")
    assert port_from_message(given_host) == Port(17, IPv4Address("127.0.0.1"), 53, 53)


addresses = st.integers(1, 12).map(lambda last: IPv4Address(f"10.0.1.{last}"))
nodes = st.sampled_from([NODE_A, NODE_B])
some_tables = st.builds(
    OverlayTables,
    subnets=st.dictionaries(st.sampled_from("12"), st.booleans()).map(
        lambda found: {
            key: OverlaySubnet(IPv4Network(f"10.0.{key}.0/24"), internal=value) for key, value in found.items()
        }
    ),
    peers=st.dictionaries(nodes, st.sampled_from(["02:56:00:00:00:01", "02:56:00:00:00:02"])),
    routes=st.dictionaries(addresses, nodes),
)


@given(some_tables, some_tables)
def test_a_plan_leads_from_one_state_to_the_other(old: OverlayTables, new: OverlayTables) -> None:
    """The kernel as a dictionary by key: additions replace, removals need not find anything."""
    before, after = (desired_state(each, [], 3, POOL, ipv6=True) for each in (old, new))
    diff = table_diff(old, new)
    short = [desired_state(each, [], 3, POOL, ipv6=True) for each in (diff.removed, diff.added)]
    assert set(plan(*short)) == set(plan(before, after))
    routes = {(route.destination, route.link == 0): route for route in before.routes}
    desired = {(route.destination, route.link == 0): route for route in after.routes}
    by_text = {f"{verb} route to {key[0]}": (verb, key) for verb in ("add", "delete") for key in routes | desired}
    for message in plan(before, after):
        if message.description in by_text:
            verb, key = by_text[message.description]
            routes = {**routes, key: desired[key]} if verb == "add" else {k: v for k, v in routes.items() if k != key}
    assert routes == desired
    assert plan(after, after) == []


@given(some_tables, some_tables)
def test_what_others_need_comes_first_and_goes_last(old: OverlayTables, new: OverlayTables) -> None:
    order = ["add FDB", "add n", "add r", "delete r", "delete n", "delete FDB"]
    steps = [
        next(place for place, start in enumerate(order) if message.description.startswith(start))
        for message in plan(desired_state(old, [], 3, POOL, ipv6=False), desired_state(new, [], 3, POOL, ipv6=False))
    ]
    assert steps == sorted(steps)
    before, after = (desired_state(each, [], 3, POOL, ipv6=True) for each in (old, new))
    assert all(message.description.startswith("add") for message in additions(before, after))
    assert all(message.description.startswith("delete") for message in removals(before, after))


def test_state_has_one_entry_a_node_and_one_route_an_address() -> None:
    known = OverlayTables(
        {"n": OverlaySubnet(IPv4Network("10.0.1.0/24"), internal=False)},
        {NODE_A: "02:56:ac:1f:00:01"},
        {IPv4Address("10.0.1.7"): NODE_A, IPv4Address("10.0.1.8"): NODE_A},
    )
    state = desired_state(known, [attachment(1)], 3, POOL, ipv6=False)
    assert state.fdb == {FdbEntry(3, "02:56:ac:1f:00:01", NODE_A)}
    assert Neighbour(3, NODE_A, "02:56:ac:1f:00:01") in state.neighbours
    assert Neighbour(11, IPv4Address("10.0.1.1"), "02:00:00:00:00:01") in state.neighbours
    assert {str(route.destination) for route in state.routes} == {
        "10.0.1.0/24", "10.0.1.1/32", "10.0.1.7/32", "10.0.1.8/32", str(POOL),
    }  # fmt: skip
    assert KernelRoute(IPv4Network("10.0.1.0/24"), 0) in state.routes


def test_a_tasks_elements() -> None:
    found = set_elements.attachment_elements(attachment(1, (Port(6, None, 8080, 80), Port(17, NODE_A, 53, 5353))))
    assert found == {
        "task_addresses": {'"sh-ask000000001" . 10.0.1.1'},
        "hairpin": {"10.0.1.1 . 10.0.1.1"},
        "published": {"6 . 8080 : 10.0.1.1 . 80"},
        "published_at": {f"17 . {NODE_A} . 53 : 10.0.1.1 . 5353"},
    }


def test_a_transaction_names_only_what_differs() -> None:
    old = {"peers": frozenset({"1.1.1.1", "1.1.1.2"}), "published": frozenset({"6 . 80 : 10.0.0.1 . 80"})}
    new = {"peers": frozenset({"1.1.1.2", "1.1.1.3"}), "published": frozenset({"6 . 80 : 10.0.0.2 . 80"})}
    assert set_elements.transaction(old, new).splitlines() == [
        "delete element inet shoal peers { 1.1.1.1 }",
        "delete element inet shoal published { 6 . 80 }",
        "add element inet shoal peers { 1.1.1.3 }",
        "add element inet shoal published { 6 . 80 : 10.0.0.2 . 80 }",
    ]
    assert set_elements.transaction(new, new) == ""


def test_the_pool_gives_each_address_once_and_rests_those_that_were_freed() -> None:
    used: list[IPv4Address] = []
    last = None
    for _ in range(14):
        used.append(last := next_address(POOL, used, last))
    assert len(set(used)) == 14
    with pytest.raises(Exhausted, match=r"no free address in 172\.30\.0\.0/28"):
        next_address(POOL, used, last)
    assert next_address(POOL, used[3:], last) == used[0]
    assert next_address(POOL, [], used[4]) == used[5]
    assert next_address(POOL, [], IPv4Address("192.0.2.1")) == IPv4Address("172.30.0.1")


def test_settings_are_checked_all_at_once() -> None:
    with pytest.raises(InvalidInput, match=r"vni.*vxlan_port"):
        NetworkSettings(vni=1 << 24, vxlan_port=0)


def test_the_tunnels_mac_is_made_of_the_address() -> None:
    assert vtep_mac(IPv4Address("172.31.0.16")) == "02:56:ac:1f:00:10"
