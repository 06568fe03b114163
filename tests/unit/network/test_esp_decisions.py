"""Associations of ESP: two nodes come to the same ones, none is installed twice, and in the end all talk."""

import os
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.network.cluster_state.encrypted_overlay import (
    NO_ENCRYPTION,
    EncryptedOverlay,
    NodeKey,
    encrypted_overlay,
    split_by_method,
)
from agent.network.encryption.esp_key_store import EspKeyStore
from agent.network.encryption.security_associations import (
    EspPeer,
    EspSecret,
    association_pair,
    confirmed_keys,
    needs_rekey,
    parse_esp_peer,
    plan_associations,
)
from agent.network.ip_types import Address
from agent.network.netlink.xfrm import MIN_SPI, SecurityAssociation
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer
from shoal.api.v1.node_pb2 import OverlayKey

A, B, C = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))


def secret(number: int, generation: int = 1) -> EspSecret:
    return EspSecret(generation, bytes([number]) * 32)


def test_two_nodes_come_to_the_same_associations_without_a_word() -> None:
    one, two = secret(1), secret(2)
    ours, theirs = (
        association_pair(1, one.private, A, EspPeer(two.public, B)),
        association_pair(1, two.private, B, EspPeer(one.public, A)),
    )
    assert ours is not None and theirs is not None
    assert (ours.outbound, ours.inbound) == (theirs.inbound, theirs.outbound)
    assert ours.outbound.key != ours.inbound.key
    assert min(ours.outbound.spi, ours.inbound.spi) >= MIN_SPI
    assert ours.outbound.key.hex() not in repr(ours) and one.private.hex() not in repr(one)


def test_everything_that_changes_gives_other_keys() -> None:
    one, there = secret(1), EspPeer(secret(2).public, B)
    found = [
        association_pair(1, one.private, A, there),
        association_pair(2, one.private, A, there),
        association_pair(1, one.private, C, there),
        association_pair(1, one.private, A, replace(there, address=C)),
        association_pair(1, one.private, A, replace(there, key=secret(3).public)),
        association_pair(1, secret(4).private, A, there),
    ]
    assert len({each.outbound.key for each in found if each}) == len(found)


def test_what_is_no_public_key_leads_nowhere() -> None:
    nonsense = EspPeer(bytes(32), B)
    assert association_pair(1, secret(1).private, A, nonsense) is None
    todo = plan_associations(secret(1), A, [nonsense])
    assert todo is not None
    assert not todo.add and not todo.secret.used


def test_inward_associations_come_first() -> None:
    todo = plan_associations(secret(1), A, [EspPeer(secret(2).public, B), EspPeer(secret(3).public, C)])
    assert todo is not None
    assert [state.destination for state in todo.add][:2] == [A, A]
    assert {state.destination for state in todo.add[2:]} == {B, C}
    again = plan_associations(todo.secret, A, todo.secret.used)
    assert again is not None and not again.add and again.secret == todo.secret


def test_who_is_not_wanted_for_a_while_keeps_what_it_has() -> None:
    there = EspPeer(secret(2).public, B)
    first = plan_associations(secret(1), A, [there])
    assert first is not None
    without = plan_associations(first.secret, A, [])
    assert without is not None and without.secret == first.secret
    back = plan_associations(without.secret, A, [there])
    assert back is not None and not back.add


def test_another_key_at_the_same_place_retires_the_older_one_for_good() -> None:
    old, new = EspPeer(secret(2).public, B), EspPeer(secret(3).public, B)
    first = plan_associations(secret(1), A, [old])
    assert first is not None
    second = plan_associations(first.secret, A, [new])
    assert second is not None
    assert second.secret.retired == {old} and len(second.add) == 2
    assert plan_associations(second.secret, A, [old]) is None, "its associations are deleted, so the secret is spent"


def test_a_lost_or_changed_association_spends_the_secret() -> None:
    todo = plan_associations(secret(1), A, [EspPeer(secret(2).public, B)])
    assert todo is not None
    assert not needs_rekey(todo.secret, A, todo.add)
    assert needs_rekey(todo.secret, A, todo.add[:1])
    stolen = replace(todo.add[1], key=bytes(36))
    assert needs_rekey(todo.secret, A, [todo.add[0], stolen])
    assert not needs_rekey(secret(1), A, [])


def test_who_was_heard_takes_in() -> None:
    first, second = EspPeer(secret(2).public, B), EspPeer(secret(3).public, C)
    todo = plan_associations(secret(1), A, [first, second])
    assert todo is not None
    received = {state: int(state.source == C) for state in todo.add}
    assert confirmed_keys(todo.secret, A, received) == {second.key}


def test_others_are_read_as_they_were_written() -> None:
    for address in ("192.0.2.1", "2001:db8::1"):
        known = EspPeer(secret(1).public, ip_address(address))
        assert parse_esp_peer(str(known)) == known


def test_secrets_lie_where_only_root_reads_them(tmp_path: Path) -> None:
    secrets = EspKeyStore(tmp_path / "keys")
    assert secrets.read() == {}
    first = replace(secret(1), used=frozenset({EspPeer(secret(2).public, B)}))
    secrets.write(first)
    secrets.write(secret(2, generation=2))
    secrets.write(replace(first, retired=first.used))
    assert EspKeyStore(tmp_path / "keys").read() == {1: replace(first, retired=first.used), 2: secret(2, generation=2)}
    for file in (tmp_path / "keys").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    secrets.delete(3)
    assert secrets.read().keys() == {2}, "generation 3 takes the place of 1"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"generation": 1, "private": "zz", "used": [], "retired": []}'])
def test_what_is_no_secret_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "1.json").write_text(text)
    assert EspKeyStore(tmp_path).read() == {}


def keyed(*kinds: OverlayKey.Kind.ValueType) -> list[OverlayKey]:
    return [OverlayKey(generation=1, public_key=bytes([kind + 7]) * 32, port=51830, kind=kind) for kind in kinds]


def reported(**nodes: list[OverlayKey]) -> EncryptedOverlay:
    network = NetworkAssignment(network_id="bank", subnet="10.1.0.0/24", key_generation=1)
    peers = [
        Peer(node_id=name, address=f"192.0.2.{number}", keys=keys)
        for number, (name, keys) in enumerate(nodes.items(), 2)
    ]
    found = encrypted_overlay([network], [], peers, "me", ipv6=True)
    places: dict[Address, Address] = {ip_address(f"10.1.0.{int(node) % 256}"): node for node in (B, C)}
    return replace(found, locations=places)


def test_wireguard_between_those_that_have_it_and_esp_to_the_others() -> None:
    both = keyed(OverlayKey.WIREGUARD, OverlayKey.ESP)
    word = reported(b=both, c=keyed(OverlayKey.ESP))
    assert word.keys.keys() == {B} and word.esp_keys.keys() == {B, C}
    wireguard, esp = split_by_method(word, wireguard=True, esp=True)
    assert wireguard.keys.keys() == {B} == set(wireguard.locations.values())
    assert esp.esp_keys == {} and esp.keys.keys() == {C} == set(esp.locations.values())
    assert wireguard.generation == esp.generation == 1
    without, esp = split_by_method(word, wireguard=False, esp=True)
    assert without == NO_ENCRYPTION
    assert esp.keys.keys() == {B, C}
    assert esp.keys[B] == {1: NodeKey(bytes([8]) * 32, 51830)}


def test_keys_of_esp_are_made_only_where_somebody_needs_them() -> None:
    word = reported(b=keyed(OverlayKey.WIREGUARD), c=keyed(OverlayKey.WIREGUARD, OverlayKey.ESP))
    assert split_by_method(word, wireguard=True, esp=True)[1].generation == 0
    assert split_by_method(reported(b=[], c=[]), wireguard=True, esp=True)[1].generation == 0
    assert split_by_method(reported(b=[], c=[]), wireguard=False, esp=True)[1].generation == 1
    wireguard, esp = split_by_method(word, wireguard=True, esp=False)
    assert wireguard.generation == 1 and esp == NO_ENCRYPTION


@dataclass
class Node:
    """What `by_esp` does with the decisions, on a kernel that is a set; `told` is what it heard of the others."""

    address: Address
    kernel: set[SecurityAssociation] = field(default_factory=set)
    file: EspSecret | None = None
    reported: dict[Address, bytes] = field(default_factory=dict)
    installed: list[bytes] = field(default_factory=list)
    may_fail: int = 0

    def look(self) -> None:
        desired = frozenset(EspPeer(key, node) for node, key in self.reported.items())
        if self.file is not None and needs_rekey(self.file, self.address, self.kernel):
            self.file = None
        todo = plan_associations(self.file, self.address, desired) if self.file is not None else None
        if todo is None:
            self.kernel.clear()
            self.file = EspSecret(1, os.urandom(32))
            todo = plan_associations(self.file, self.address, desired)
            assert todo is not None
        self.file = todo.secret
        for number, state in enumerate(todo.add):
            if self.may_fail and number == self.may_fail:
                self.may_fail = 0
                return  # the agent was killed here
            assert state not in self.kernel
            self.kernel.add(state)
            self.installed.append(state.key)
        self.kernel -= {
            state
            for each in self.file.retired
            if (both := association_pair(1, self.file.private, self.address, each))
            for state in (both.inbound, both.outbound)
        }

    def outward(self, to: Address) -> set[SecurityAssociation]:
        return {state for state in self.kernel if state.destination == to}


EVENTS = st.lists(
    st.tuples(st.sampled_from(["look", "tell", "lose one", "flush", "reboot", "leave", "kill"]), st.integers(0, 20)),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(events=EVENTS)
def test_no_key_is_installed_twice_and_in_the_end_all_talk(events: list[tuple[str, int]]) -> None:
    nodes = [Node(each) for each in (A, B, C)]

    def announce(node: Node) -> None:
        for each in nodes:
            if each is not node and each.file is not None:
                node.reported[each.address] = each.file.public

    for event, number in events:
        node = nodes[number % 3]
        match event:
            case "look":
                node.look()
            case "tell":
                announce(node)
            case "lose one":
                node.kernel -= set(sorted(node.kernel, key=lambda state: state.spi)[:1])
            case "flush":
                node.kernel.clear()
            case "reboot":
                node.kernel.clear()
                node.file = None
            case "leave":
                node.reported.pop(nodes[(number + 1) % 3].address, None)
            case "kill":
                node.may_fail = 1 + number % 3
    for node in nodes:
        node.may_fail = 0
    for _ in range(4):
        for node in nodes:
            node.look()
        for node in nodes:
            announce(node)
    for node in nodes:
        assert len(node.installed) == len(set(node.installed)), "an association was installed twice"
        for each in nodes:
            if each is not node:
                (way,) = node.outward(each.address)
                assert way in each.kernel, "what one sends the other does not take"
