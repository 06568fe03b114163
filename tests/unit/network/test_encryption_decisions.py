"""Which tunnel leads to whom, what each is told, and what of it differs: decisions alone."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from agent.network.attachments.attachment import CONTAINER_INDEX, Attachment, container_messages
from agent.network.cluster_state.encrypted_overlay import EncryptedOverlay, NodeKey, encrypted_overlay
from agent.network.cluster_state.overlay_tables import overlay_tables
from agent.network.encryption.key_generations import (
    KEEPALIVE_SECONDS,
    Tunnel,
    desired_peers,
    device_name,
    device_port,
    is_settled,
    routes,
    selected_tunnels,
    superseded_tunnels,
    unused_tunnels,
)
from agent.network.encryption.peer_changes import intact_tunnels, peer_additions, peer_removals, tunnel_differences
from agent.network.host.underlay import Underlay
from agent.network.ip_types import Address
from agent.network.netlink.rtnetlink import KernelRoute, add_route
from agent.network.netlink.wireguard import TunnelPeer
from agent.network.nftables.rule_ports import RulePorts
from agent.network.nftables.ruleset import chains
from agent.network.nftables.set_elements import desired_elements
from agent.network.well_known import GATEWAY, OVERLAY_GROUP
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, TaskEndpoint
from shoal.api.v1.dispatcher_pb2 import Peer as PeerRecord
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.api.v1.task_pb2 import TaskAddress

A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
CONTAINER, OTHER = IPv4Address("10.1.0.5"), IPv4Address("10.1.0.6")
NETWORKS = (
    NetworkAssignment(network_id="bank", subnet="10.1.0.0/24", key_generation=3),
    NetworkAssignment(network_id="street", subnet="10.2.0.0/24"),
)


def key(number: int) -> bytes:
    return bytes([number]) * 32


def place(node: str, **addresses: str) -> TaskEndpoint:
    given = [TaskAddress(network_id=network, address=address) for network, address in addresses.items()]
    return TaskEndpoint(task_id=f"t-{node}", node_id=node, addresses=given)


def record(node: str, address: str, *generations: int) -> PeerRecord:
    keys = [OverlayKey(generation=each, public_key=key(each), port=51830) for each in generations]
    return PeerRecord(node_id=node, address=address, vtep_mac="02:56:00:00:00:01", keys=keys)


def tunnel(generation: int, *peers: int, met: tuple[int, ...] = ()) -> Tunnel:
    reported = {key(each): TunnelPeer(key(each), (A, 51830), frozenset()) for each in peers}
    known = frozenset(map(key, met))
    name = device_name("shoal-wg", generation)
    return Tunnel(generation, generation + 100, key(200 + generation), 51830, 1440, reported, known, name=name)


def one_node(*generations: int, newest: int) -> EncryptedOverlay:
    keys = {each: NodeKey(key(each), 51830) for each in generations}
    return EncryptedOverlay(newest, {A: keys}, {CONTAINER: A})


def test_addresses_of_encrypted_networks_have_no_open_route() -> None:
    endpoints = [place("b", bank="10.1.0.5", street="10.2.0.5"), place("me", bank="10.1.0.9")]
    found = overlay_tables(NETWORKS, endpoints, [record("b", "192.0.2.2", 3), record("me", "192.0.2.9")], "me")
    assert found.routes == {IPv4Address("10.2.0.5"): B}
    assert found.encrypted.locations == {CONTAINER: B}
    assert found.encrypted.generation == 3
    assert found.encrypted.keys == {B: {3: NodeKey(key(3), 51830)}}


def test_without_a_key_there_is_no_way_at_all() -> None:
    found = overlay_tables(NETWORKS, [place("b", bank="10.1.0.5")], [record("b", "192.0.2.2")], "me")
    assert not found.routes
    assert not routes(found.encrypted, [tunnel(3)])


def test_what_is_no_key_is_as_if_it_had_not_been_told() -> None:
    peer = record("b", "192.0.2.2", 3)
    peer.keys.add(generation=4, public_key=b"short", port=51830)
    peer.keys.add(generation=5, public_key=key(5), port=70_000)
    assert encrypted_overlay(NETWORKS, [], [peer], "me", ipv6=True).keys == {B: {3: NodeKey(key(3), 51830)}}


def test_addresses_of_both_families_are_sealed_where_the_node_has_them() -> None:
    six = TaskAddress(network_id="bank", address="10.1.0.5", address6="fd12::5")
    endpoints = [TaskEndpoint(task_id="t", node_id="b", addresses=[six])]
    with_six = NetworkAssignment(network_id="bank", subnet="10.1.0.0/24", subnet6="fd12::/64", key_generation=3)
    four: set[Address] = {CONTAINER}
    for ipv6, addresses in ((True, four | {IPv6Address("fd12::5")}), (False, four)):
        found = overlay_tables([with_six], endpoints, [record("b", "192.0.2.2", 3)], "me", ipv6=ipv6)
        assert set(found.encrypted.locations) == addresses
        assert not found.routes
        assert desired_elements(found, [], IPv4Network("172.30.0.0/16"))["encrypted6"] == (
            {"fd12::/64"} if ipv6 else set()
        )


def test_nothing_is_sealed_without_an_encrypted_network() -> None:
    assert encrypted_overlay(NETWORKS[1:], [], [record("b", "192.0.2.2", 3)], "me", ipv6=True) == EncryptedOverlay()


def test_a_device_is_told_of_the_nodes_of_its_generation_with_their_addresses() -> None:
    word = EncryptedOverlay(
        2, {A: {1: NodeKey(key(1), 1), 2: NodeKey(key(2), 2)}, B: {1: NodeKey(key(9), 9)}}, {CONTAINER: A}
    )
    newest = desired_peers(word, tunnel(2))
    assert newest == {key(2): TunnelPeer(key(2), (A, 2), frozenset({IPv4Network(CONTAINER)}), KEEPALIVE_SECONDS)}
    older = desired_peers(word, tunnel(1))
    assert older.keys() == {key(1), key(9)}
    assert not any(peer.keepalive_seconds for peer in older.values()), "nobody knocks with keys that are to go"
    assert desired_peers(word, tunnel(2, 2, met=(2,)))[key(2)].keepalive_seconds == 0


def test_a_node_keeps_its_old_way_until_it_has_answered_on_the_new_one() -> None:
    word = one_node(1, 2, newest=2)
    old, new = tunnel(1, 1, met=(1,)), tunnel(2, 2)
    assert selected_tunnels(word, [old, new])[A] == old
    met = replace(new, confirmed=frozenset({key(2)}))
    assert selected_tunnels(word, [old, met])[A] == met
    assert routes(word, [old, met]) == {KernelRoute(IPv4Network(CONTAINER), met.link)}


def test_where_nobody_has_answered_yet_the_newest_keys_are_tried() -> None:
    word = one_node(1, 2, newest=2)
    assert selected_tunnels(word, [tunnel(1, 1), tunnel(2, 2)])[A].generation == 2


def test_a_node_with_old_keys_alone_is_spoken_to_by_them() -> None:
    word = one_node(1, newest=2)
    old = tunnel(1, 1, met=(1,))
    assert selected_tunnels(word, [old, tunnel(2)])[A] == old
    assert unused_tunnels(word, [old, tunnel(2)]) == []


def test_old_keys_lead_to_nobody_once_all_have_answered() -> None:
    word = one_node(1, 2, newest=2)
    old, new = tunnel(1, 1, met=(1,)), tunnel(2, 2, met=(2,))
    assert unused_tunnels(word, [old, new]) == [old]
    assert not is_settled([old, new])
    assert is_settled([new])


def test_two_names_and_ports_in_turn() -> None:
    assert device_name("shoal-wg", 1) != device_name("shoal-wg", 2) == device_name("shoal-wg", 4)
    assert {device_port(51830, number) for number in range(9)} == {51830, 51831}
    word = one_node(3, newest=3)
    assert superseded_tunnels(word, [tunnel(1), tunnel(2), tunnel(3)]) == [tunnel(1)]
    assert superseded_tunnels(EncryptedOverlay(), [tunnel(1), tunnel(2)]) == [tunnel(1), tunnel(2)]


def test_differences_are_told_and_a_changed_key_is_no_secret_any_more() -> None:
    reported = {1: tunnel(1, 1), 2: tunnel(2, 2)}
    assert tunnel_differences(reported.values(), reported.values()) == []
    stolen = {1: replace(reported[1], key=key(66)), 2: replace(reported[2], peers={}, mtu=0)}
    assert len(tunnel_differences(reported.values(), stolen.values())) == 2
    assert intact_tunnels(reported, stolen) == {2: stolen[2]}
    assert tunnel_differences(reported.values(), []) == [
        "tunnel shoal-wg1 was missing, or its key or port was changed",
        "tunnel shoal-wg0 was missing, or its key or port was changed",
    ]


def test_new_addresses_come_without_touching_the_others() -> None:
    known = TunnelPeer(key(1), (A, 1), frozenset({IPv4Network(CONTAINER)}))
    more = replace(known, allowed_ips=known.allowed_ips | {IPv4Network(OTHER)})
    device = replace(tunnel(1), peers={key(1): known})
    (message,) = peer_additions(7, device, {key(1): more})
    assert OTHER.packed in message.body
    assert CONTAINER.packed not in message.body
    assert list(peer_additions(7, device, {key(1): known})) == []


def test_addresses_that_go_are_taken_to_nobody_who_is_then_removed() -> None:
    known = TunnelPeer(key(1), (A, 1), frozenset({IPv4Network(CONTAINER), IPv4Network(OTHER)}))
    device = replace(tunnel(1), peers={key(1): known, key(2): TunnelPeer(key(2), (B, 1), frozenset())})
    left = replace(known, allowed_ips=frozenset({IPv4Network(OTHER)}))
    gone, moved, nobody = peer_removals(7, device, {key(1): left}, new_key=lambda: key(99))
    assert key(2) in gone.body
    assert key(99) in moved.body and CONTAINER.packed in moved.body and OTHER.packed not in moved.body
    assert key(99) in nobody.body


nodes = st.integers(1, 6).map(lambda number: ip_address(f"192.0.2.{number}"))


@given(
    places=st.dictionaries(st.integers(1, 40).map(lambda number: ip_address(f"10.1.0.{number}")), nodes),
    keyed=st.dictionaries(nodes, st.sets(st.integers(1, 3), min_size=1)),
    met=st.sets(st.integers(1, 3)),
    newest=st.integers(1, 3),
)
def test_every_way_is_by_a_tunnel_that_both_sides_have(
    places: dict[Address, Address], keyed: dict[Address, set[int]], met: set[int], newest: int
) -> None:
    keys: dict[Address, Mapping[int, NodeKey]] = {
        node: {each: NodeKey(bytes([int(node) % 256, each]) * 16, 51830) for each in has} for node, has in keyed.items()
    }
    word = EncryptedOverlay(newest, keys, places)
    devices = []
    for generation in {newest, max(newest - 1, 1)}:
        bare = tunnel(generation)
        peers = desired_peers(word, bare)
        known = frozenset(peers) if generation in met else frozenset()
        devices.append(replace(bare, peers=peers, confirmed=known))
    by_link = {each.link: each for each in devices}
    led = {route.destination.network_address: by_link[route.link] for route in routes(word, devices)}
    for address, node in places.items():
        able = {each.generation for each in devices} & keys.get(node, {}).keys()
        assert (address in led) == bool(able)
        if able:
            device = led[address]
            reported = device.peers[keys[node][device.generation].key]
            assert ip_network(address) in reported.allowed_ips
            answering = [each for each in devices if keys[node].get(each.generation) and each.confirmed]
            assert not answering or device in answering


def test_containers_routes_to_encrypted_networks_have_less_room() -> None:
    subnets = overlay_tables(NETWORKS, [], [], "me").subnets
    addresses = {"bank": CONTAINER, "street": IPv4Address("10.2.0.5")}
    attachment = Attachment("t", 7, "02:00:00:00:00:01", addresses, None, ())
    messages = list(container_messages(attachment, subnets, 1440))
    for network, mtu in (("bank", 1440), ("street", 0)):
        route = KernelRoute(subnets[network].routed_prefix, CONTAINER_INDEX, GATEWAY, addresses[network], mtu=mtu)
        assert add_route(route) in messages


def test_room_by_the_underlays_ip() -> None:
    v4, v6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")
    rooms = {(each, mtu): Underlay(each, 2, mtu) for each in (v4, v6) for mtu in (1300, 1335, 1500, 1503)}
    assert [rooms[v4, mtu].wireguard_mtu for mtu in (1300, 1335, 1500)] == [1240, 1280, 1440]
    assert rooms[v6, 1500].wireguard_mtu == 1420
    # Packets in ESP are filled up to four bytes.
    assert [rooms[v4, mtu].esp_mtu for mtu in (1300, 1335, 1500, 1503)] == [1216, 1280, 1416, 1416]
    assert rooms[v6, 1500].esp_mtu == 1396


def test_the_rules_know_the_encrypted_subnets() -> None:
    found = desired_elements(overlay_tables(NETWORKS, [], [], "me"), [], IPv4Network("172.30.0.0/16"))
    assert found["encrypted"] == {"10.1.0.0/24"}
    rules = chains(RulePorts(4096, 4789), A)
    assert rules["drop_unencrypted"] == ("ip daddr @encrypted drop", "ip6 daddr @encrypted6 drop")
    comes, goes = (f"{way} {OVERLAY_GROUP} jump drop_unencrypted" for way in ("iifgroup", "oifgroup"))
    for chain, asked in (("from_container", {goes}), ("from_overlay", {comes, goes}), ("forward", {goes})):
        passing = (place for place, rule in enumerate(rules[chain]) if "accept" in rule and "hook" not in rule)
        assert asked <= set(rules[chain][: next(passing)]), "before anything is let through"
