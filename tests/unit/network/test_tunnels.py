"""When devices and keys of encrypted tunnels change, whatever kind they are of."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.network.cluster_state.diff import mapping_diff
from agent.network.cluster_state.encrypted_overlay import NO_ENCRYPTION, EncryptedOverlay, NodeKey, moves_on_nodes
from agent.network.encryption.key_generations import Tunnel, desired_peers, routes
from agent.network.encryption.tunnel_set import IDLE_SECONDS, TunnelSet
from agent.network.ip_types import Address
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import KernelRoute, Message
from agent.network.netlink.wireguard import TunnelPeer
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable

NODE, CONTAINER = IPv4Address("192.0.2.2"), IPv4Address("10.1.0.5")
MTU = 1416


class FakeDriver:
    """A `Kind` whose devices are values; `lacking` is what it says it lacks."""

    key_kind = OverlayKey.ESP
    feature = "esp"

    def __init__(self, *, uses_allowed_ips: bool = False) -> None:
        self.uses_allowed_ips = uses_allowed_ips
        self.devices: dict[int, Tunnel] = {}
        self.made = 0
        self.lacking = ""
        self.knocks: list[int] = []
        self.refuses_peers = False

    def close(self) -> None:
        self.devices.clear()

    def require(self) -> None:
        if self.lacking:
            raise Unavailable(self.lacking)

    def list_tunnels(self, known: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        return dict(self.devices)

    def create(self, generation: int, mtu: int) -> Tunnel:
        self.made += 1
        name = f"t{generation % 2}"
        self.devices[generation] = Tunnel(
            generation, 7, bytes([self.made]) * 32, 51832, mtu, name=name, uses_next_hops=True
        )
        return self.devices[generation]

    def delete(self, generations: Iterable[int]) -> None:
        places = {generation % 2 for generation in generations}
        self.devices = {number: each for number, each in self.devices.items() if number % 2 not in places}

    def repair(self, tunnel: Tunnel, mtu: int) -> None:
        self.devices[tunnel.generation] = replace(tunnel, mtu=mtu, has_policies=True)

    def can_add(self, tunnel: Tunnel, peers: Mapping[bytes, TunnelPeer]) -> bool:
        return bytes(32) not in peers

    def add_peers(self, tunnels: Collection[tuple[Tunnel, Mapping[bytes, TunnelPeer]]]) -> None:
        if self.refuses_peers:
            raise Unavailable("no room for peers")
        for tunnel, desired in tunnels:
            device = self.devices[tunnel.generation]
            self.devices[tunnel.generation] = replace(device, peers={**device.peers, **desired})

    def remove_peers(self, tunnels: Collection[tuple[Tunnel, Mapping[bytes, TunnelPeer]]]) -> None:
        for tunnel, desired in tunnels:
            device = self.devices[tunnel.generation]
            kept = {key: peer for key, peer in device.peers.items() if key in desired or key not in tunnel.peers}
            self.devices[tunnel.generation] = replace(device, peers=kept)

    def send_probe(self, tunnel: Tunnel) -> None:
        self.knocks.append(tunnel.generation)

    def hear(self, generation: int, received: int = 1) -> None:
        """Something has come from every peer."""
        device = self.devices[generation]
        self.devices[generation] = replace(device, confirmed=frozenset(device.peers), received=received)


class Routes(Connection):
    """Counts requests."""

    def __init__(self) -> None:
        self.requests: list[Message] = []

    def apply(self, messages: Iterable[Message]) -> None:
        self.requests += messages


class Rig:
    """Tunnels on such a kernel, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.kernel, self.seconds = FakeDriver(), 0.0
        self.tunnels = TunnelSet(connection=cast(Connection, Routes()), driver=self.kernel, clock=lambda: self.seconds)

    def apply(self, newest: int, *generations: int) -> None:
        keys = {each: NodeKey(bytes([100 + each]) * 32, 51832) for each in generations}
        self.tunnels.apply(EncryptedOverlay(newest, {NODE: keys}, {CONTAINER: NODE}), MTU)

    @property
    def generations(self) -> list[int]:
        return [key.generation for key in self.tunnels.keys]


def test_a_node_of_the_same_generation_is_led_to_and_knocked_at() -> None:
    rig = Rig()
    rig.apply(1, 1)
    assert rig.generations == [1] and rig.tunnels.keys[0].kind == OverlayKey.ESP
    assert {route.destination.network_address for route in rig.tunnels.routes} == {CONTAINER}
    assert {route.via for route in rig.tunnels.routes} == {NODE}
    assert rig.kernel.knocks == [1]
    assert not rig.tunnels.is_settled, "it has not been heard from"
    rig.kernel.hear(1)
    assert rig.tunnels.reconcile(MTU) == []
    assert rig.tunnels.is_settled


def test_keys_change_over_once_the_other_node_is_heard_and_go_once_all_is_quiet() -> None:
    rig = Rig()
    rig.apply(1, 1)
    rig.kernel.hear(1)
    rig.apply(2, 1)
    rig.apply(2, 1, 2)
    assert rig.generations == [1, 2]
    rig.tunnels.reconcile(MTU)
    rig.kernel.hear(2)
    for received, seconds in ((5, 0.0), (6, IDLE_SECONDS), (6, 0.0), (6, IDLE_SECONDS)):
        assert rig.generations == [1, 2]
        rig.kernel.hear(1, received)
        rig.seconds += seconds
        rig.tunnels.reconcile(MTU)
    assert rig.generations == [2]
    assert rig.kernel.devices.keys() == {2}
    assert rig.tunnels.is_settled


def test_a_spent_key_is_told_and_another_one_takes_its_place() -> None:
    rig = Rig()
    rig.apply(1, 1)
    before = rig.tunnels.keys
    rig.kernel.devices[1] = replace(rig.kernel.devices[1], needs_rekey=True)
    (reported,) = rig.tunnels.reconcile(MTU)
    assert reported == "tunnel t1 had lost security associations"
    assert rig.generations == [1] and rig.tunnels.keys != before
    assert rig.kernel.devices[1].peers


def test_a_later_process_disturbs_nothing_but_makes_a_spent_key_anew() -> None:
    rig = Rig()
    rig.apply(1, 1)
    for is_spent, made in ((False, 1), (True, 2)):
        rig.kernel.devices[1] = replace(rig.kernel.devices[1], needs_rekey=is_spent)
        later = TunnelSet(connection=cast(Connection, Routes()), driver=rig.kernel)
        later.apply(EncryptedOverlay(1, {NODE: {1: NodeKey(bytes([101]) * 32, 51832)}}, {CONTAINER: NODE}), MTU)
        assert rig.kernel.made == made
        assert isinstance(next(iter(later.routes)), KernelRoute)


def test_a_later_process_tells_the_keys_that_it_finds_from_the_beginning() -> None:
    rig = Rig()
    rig.apply(1, 1)
    later = TunnelSet(connection=cast(Connection, Routes()), driver=rig.kernel)
    later.recover()
    assert later.keys == rig.tunnels.keys
    rig.kernel.devices.clear()
    fresh = TunnelSet(connection=cast(Connection, Routes()), driver=rig.kernel)
    fresh.recover()
    assert not fresh.keys and fresh.is_settled


def test_a_key_that_cannot_be_used_with_somebody_is_made_anew() -> None:
    rig = Rig()
    rig.apply(1, 1)
    rig.tunnels.apply(EncryptedOverlay(1, {NODE: {1: NodeKey(bytes(32), 51832)}}, {}), MTU)
    assert rig.kernel.made == 2


def test_what_is_not_guarded_is_told_and_guarded_again() -> None:
    rig = Rig()
    rig.apply(1, 1)
    rig.kernel.devices[1] = replace(rig.kernel.devices[1], has_policies=False, mtu=0)
    assert rig.tunnels.reconcile(MTU) == ["the IPsec policies of tunnel t1 were missing"]
    assert rig.kernel.devices[1].has_policies and rig.kernel.devices[1].mtu == MTU
    assert rig.kernel.made == 1


def test_a_missing_device_of_older_keys_takes_no_newer_one_along() -> None:
    rig = Rig()
    rig.apply(1, 1)
    rig.apply(3, 1, 3)
    assert rig.generations == [3]
    rig.tunnels.reconcile(MTU)
    assert rig.kernel.devices.keys() == {3}


def test_what_the_kernel_lacks_or_refuses_is_a_fault_until_it_does_not() -> None:
    rig = Rig()
    rig.kernel.lacking = "this kernel lacks it"
    rig.apply(1, 1)
    assert rig.tunnels.fault == "encrypted networks are not available on this node: this kernel lacks it"
    assert not rig.tunnels.routes and not rig.generations
    rig.kernel.lacking, rig.kernel.refuses_peers = "", True
    rig.tunnels.reconcile(MTU)
    assert "no room for peers" in rig.tunnels.fault and not rig.tunnels.routes
    rig.kernel.refuses_peers = False
    rig.tunnels.reconcile(MTU)
    assert not rig.tunnels.fault and rig.tunnels.routes


def test_without_an_encrypted_network_nothing_is_left() -> None:
    rig = Rig()
    rig.apply(1, 1)
    rig.tunnels.apply(NO_ENCRYPTION, MTU)
    assert not rig.kernel.devices and not rig.tunnels.routes and not rig.generations
    assert rig.tunnels.reconcile(MTU) == []


NODES: tuple[Address, ...] = tuple(IPv4Address(f"192.0.2.{number}") for number in (2, 3, 4))
CONTAINERS = tuple(IPv4Address(f"10.1.0.{number}") for number in range(1, 7))
KEYS: Mapping[Address, Mapping[int, NodeKey]] = {node: {1: NodeKey(node.packed * 8, 51832)} for node in NODES[:2]}
PLACES = st.dictionaries(st.sampled_from(CONTAINERS), st.sampled_from(NODES))
"""The last node has no key."""


@settings(max_examples=150, deadline=None)
@given(st.booleans(), PLACES, st.lists(PLACES, max_size=6))
def test_addresses_that_move_lead_where_a_fresh_start_leads(
    reports: bool, first: dict[Address, Address], then: list[dict[Address, Address]]
) -> None:
    kernel, asked = FakeDriver(uses_allowed_ips=reports), Routes()
    tunnels = TunnelSet(connection=cast(Connection, asked), driver=kernel)
    tunnels.apply(EncryptedOverlay(1, KEYS, first), MTU)
    before = first
    for places in then:
        step, count = mapping_diff(before, places), len(asked.requests)
        tunnels.move_addresses(moves_on_nodes(step, KEYS.keys()))
        before, fresh = places, EncryptedOverlay(1, KEYS, places)
        (tunnel,) = kernel.devices.values()
        assert tunnels.routes == routes(fresh, [tunnel])
        assert len(asked.requests) - count <= len(step.removed) + len(step.added)
        if reports:
            reported = {key: peer.allowed_ips for key, peer in desired_peers(fresh, tunnel).items()}
            assert {key: peer.allowed_ips for key, peer in tunnel.peers.items()} == reported
    made = kernel.made
    tunnels.apply(EncryptedOverlay(1, KEYS, before), MTU)
    assert kernel.made == made and tunnels.routes == routes(EncryptedOverlay(1, KEYS, before), kernel.devices.values())


def test_addresses_that_move_while_peers_are_refused_are_led_to_at_the_next_look() -> None:
    rig = Rig()
    rig.apply(1, 1)
    rig.kernel.uses_allowed_ips = rig.kernel.refuses_peers = True
    rig.tunnels.move_addresses(mapping_diff({}, {CONTAINERS[1]: NODE}))
    assert rig.tunnels.fault.endswith("no room for peers")
    rig.kernel.refuses_peers = False
    rig.tunnels.reconcile(MTU)
    assert not rig.tunnels.fault
    assert {route.destination.network_address for route in rig.tunnels.routes} == {CONTAINER, CONTAINERS[1]}
