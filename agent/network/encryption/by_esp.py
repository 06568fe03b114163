"""Tunnels by IPsec ESP: a VXLAN device at a port of its own, whose packets pass encrypted or not at all.

A policy says for the whole port: by an association of ours (transport mode), to whomever it goes. Without one with the
other node the packet is dropped, so there is nothing to be forgotten for a new node.
"""

import os
import re
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from agent.network.encryption import associations
from agent.network.encryption.associations import Other, Secret, pair
from agent.network.encryption.generations import Tunnel, device_name, device_port
from agent.network.encryption.kinds import LINK_SETTINGS, refused, set_up, usable_mtu
from agent.network.encryption.secrets import Secrets
from agent.network.names import ESP_PREFIX
from agent.network.netlink import inventory, messages, xfrm
from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import Link, Vxlan
from agent.network.netlink.messages import Address, Forwarding, Message, Neighbour, family_of
from agent.network.netlink.wireguard import KEY_BYTES, Peer
from agent.network.netlink.xfrm import Policy, State
from agent.network.underlay import Underlay, next_hop
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable
from shoal.overlay_encryption import ESP
from shoal.vtep import vtep_mac

_LACKING = (
    "this kernel lacks IPsec ESP (CONFIG_XFRM_USER, CONFIG_INET_ESP, CONFIG_CRYPTO_GCM) or nftables' knowledge of it: "
    "load the modules xfrm_user, esp4, esp6 and gcm, or take a kernel that has them"
)
_ALIAS = re.compile(r"keys of generation (\d+)")
_KNOCK_TYPE = 0x88B5
"""For local experiments (IEEE 802): the other node counts the packet and drops it."""
_DIRECTIONS = (xfrm.IN, xfrm.OUT)


class Place(Protocol):
    """Where this node is on the underlay, as it was seen last."""

    @property
    def underlay(self) -> Underlay: ...

    @property
    def has_ipv6(self) -> bool:
        """Whether containers of this node have it."""
        ...


Told = Collection[tuple[Tunnel, Mapping[bytes, Peer]]]


class ByEsp:
    """A `Kind`.

    Args:
        connection: of rtnetlink; stays the caller's.
        first_port: UDP, of VXLAN; the next one is used too.
        secrets: where private keys lie.
        place: of this node.
        has_rules: whether nftables can tell what is encrypted.
    """

    key_kind = OverlayKey.ESP
    tells_addresses = False

    def __init__(
        self,
        *,
        connection: Connection,
        place: Place,
        vni: int,
        first_port: int,
        secrets: Secrets,
        has_rules: bool,
    ) -> None:
        self._connection = connection
        self._place = place
        self._here = place.underlay.address
        self._vni = vni
        self._first_port = first_port
        self._secrets = secrets
        self._socket = _open()
        self._able = has_rules and self._probe()
        self._known: dict[int, Secret] = {}

    def _probe(self) -> bool:
        """Try for real: the kernel loads its modules for it."""
        if self._socket is None:
            return False
        spi = xfrm.LEAST_SPI + int.from_bytes(os.urandom(3), "big")
        add, delete = xfrm.probe(family_of(self._here), os.urandom(xfrm.KEY_BYTES), spi)
        try:
            self._socket.apply([add])
        except Unavailable:
            return False
        self._socket.apply([delete])
        return True

    @property
    def _underlay(self) -> Underlay:
        return self._place.underlay

    @property
    def _versions(self) -> tuple[int, ...]:
        """Of IP, that containers of this node have."""
        return (4, 6) if self._place.has_ipv6 else (4,)

    @property
    def feature(self) -> str:
        """See `Kind`."""
        return ESP if self._able else ""

    def close(self) -> None:
        """See `Kind`."""
        if self._socket is not None:
            self._socket.close()

    def require(self) -> None:
        """See `Kind`."""
        if not self._able:
            raise Unavailable(_LACKING)

    @property
    def _xfrm(self) -> Connection:
        if self._socket is None:
            raise Unavailable(_LACKING)
        return self._socket

    def found(self, told: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        """See `Kind`."""
        links = [link for link in inventory.links(self._connection) if link.name.startswith(ESP_PREFIX)]
        self._known = self._secrets.read() if links else {}
        found = {}
        for link in links:
            match = _ALIAS.fullmatch(link.alias)
            if match and (secret := self._known.get(int(match[1]))) is not None:
                found[secret.generation] = self._read(secret, link, told.get(secret.generation))
        return found

    def _read(self, secret: Secret, link: Link, told: Tunnel | None) -> Tunnel:
        generation = secret.generation
        states = {
            each.state: each for each in xfrm.states(self._xfrm) if each.state.mark == associations.mark(generation)
        }
        packets = {state: each.packets for state, each in states.items()}
        policies = set(xfrm.policies(self._xfrm))
        port = device_port(self._first_port, generation)
        terms = Vxlan(self._vni, self._underlay.link, self._here, port)
        is_ours = (link.vxlan, link.mac, link.master) == (terms, self._underlay.vtep_mac, 0)
        linked = self._linked(link)
        known = told.peers if told is not None else {}
        return Tunnel(
            generation,
            link.index,
            secret.public,
            port,
            usable_mtu(link),
            {
                each.key: known.get(each.key, Peer(each.key, (each.address, 0), frozenset()))
                for each in secret.used - secret.retired
                if each.address in linked
            },
            associations.heard(secret, self._here, packets),
            sum(each.bytes for each in states.values() if each.state.destination == self._here),
            link.name,
            has_hops=True,
            is_spent=not is_ours or associations.is_spent(secret, self._here, states.keys()),
            is_guarded=policies >= set(self._policies(generation)),
        )

    def _linked(self, link: Link) -> frozenset[Address]:
        """Of the nodes that the device leads to by all entries that it takes."""
        neighbours = {
            (each.address, each.mac) for each in inventory.neighbours(self._connection) if each.link == link.index
        }
        return frozenset(
            entry.vtep
            for entry in inventory.forwarding(self._connection, link.index)
            if all((next_hop(entry.vtep, version), entry.mac) in neighbours for version in self._versions)
        )

    def _policies(self, generation: int) -> list[Policy]:
        port, mark = device_port(self._first_port, generation), associations.mark(generation)
        return [Policy(direction, family_of(self._here), port, mark) for direction in _DIRECTIONS]

    def make(self, generation: int, mtu: int) -> Tunnel:
        """See `Kind`. The policies are there before the device, which is there before any key."""
        name, port = device_name(ESP_PREFIX, generation), device_port(self._first_port, generation)
        self.delete([generation])
        secret = Secret(generation, os.urandom(KEY_BYTES))
        try:
            self._write(secret)
            self._xfrm.apply(map(xfrm.add_policy, self._policies(generation)))
            link = self._make_link(name, port, f"keys of generation {generation}", mtu)
        except Unavailable as error:
            self.delete([generation])
            raise refused(name, port, error) from error
        return Tunnel(generation, link, secret.public, port, mtu, name=name, has_hops=True)

    def _make_link(self, name: str, port: int, alias: str, mtu: int) -> int:
        """Its index."""
        made = messages.add_vxlan(
            name,
            vni=self._vni,
            mac=self._underlay.vtep_mac,
            local=self._here,
            link=self._underlay.link,
            port=port,
            mtu=mtu,
            up=False,
        )
        quiet = [messages.without_own_ipv6(name)] if 6 in self._versions else []
        self._connection.apply([made, *quiet])
        link = socket.if_nametoindex(name)
        self._connection.apply([messages.set_link(link, alias=alias, ipv4=LINK_SETTINGS), set_up(link)])
        return link

    def delete(self, generations: Iterable[int]) -> None:
        """See `Kind`. The device goes first, the policies last: at no moment does anything pass in clear."""
        for generation in generations:
            self._connection.apply([messages.delete_link(device_name(ESP_PREFIX, generation))])
            if self._socket is None:
                continue
            mark = associations.mark(generation)
            ours = [each.state for each in xfrm.states(self._socket) if each.state.mark == mark]
            self._socket.apply(map(xfrm.delete_state, ours))
            policies = [each for each in xfrm.policies(self._socket) if each.mark == mark]
            self._socket.apply(map(xfrm.delete_policy, policies))
            self._secrets.forget(generation)

    def mend(self, tunnel: Tunnel, mtu: int) -> None:
        """See `Kind`."""
        if not tunnel.is_guarded:
            self._xfrm.apply(map(xfrm.add_policy, self._policies(tunnel.generation)))
        if tunnel.mtu != mtu:
            self._connection.apply([set_up(tunnel.link, mtu)])

    def admits(self, tunnel: Tunnel, wanted: Mapping[bytes, Peer]) -> bool:
        """See `Kind`."""
        secret = self._known.get(tunnel.generation)
        return secret is not None and associations.plan(secret, self._here, _others(wanted)) is not None

    def add(self, tunnels: Told) -> None:
        """See `Kind`. What was installed is written down before it is."""
        for tunnel, wanted in tunnels:
            todo = self._planned(tunnel, wanted)
            if todo.secret != self._known[tunnel.generation]:
                self._write(todo.secret)
            self._xfrm.apply(map(xfrm.add_state, todo.add))
            new = _addresses(wanted) - _addresses(tunnel.peers)
            self._connection.apply(message for node in new for message in self._lead(tunnel, node))

    def remove(self, tunnels: Told) -> None:
        """See `Kind`."""
        for tunnel, wanted in tunnels:
            stale = self._stale(tunnel)
            self._xfrm.apply(map(xfrm.delete_state, stale))
            gone = _addresses(tunnel.peers) - _addresses(wanted)
            self._connection.apply(message for node in gone for message in self._forget(tunnel, node))

    def _planned(self, tunnel: Tunnel, wanted: Mapping[bytes, Peer]) -> associations.Plan:
        planned = associations.plan(self._known[tunnel.generation], self._here, _others(wanted))
        if planned is None:
            raise Unavailable(f"the keys of the tunnel {tunnel.name} are spent")
        return planned

    def _stale(self, tunnel: Tunnel) -> list[State]:
        """Associations of keys that other nodes have no more."""
        secret = self._known[tunnel.generation]
        pairs = [pair(secret.generation, secret.private, self._here, each) for each in secret.retired]
        return [state for both in pairs if both for state in (both.outward, both.inward)]

    def _lead(self, tunnel: Tunnel, node: Address) -> list[Message]:
        mac = vtep_mac(node)
        hops = {next_hop(node, version) for version in self._versions}
        entries = [messages.add_neighbour(Neighbour(tunnel.link, hop, mac)) for hop in hops]
        return [messages.add_forwarding(Forwarding(tunnel.link, mac, node)), *entries]

    def _forget(self, tunnel: Tunnel, node: Address) -> list[Message]:
        mac = vtep_mac(node)
        hops = {next_hop(node, version) for version in self._versions}
        entries = [messages.delete_neighbour(Neighbour(tunnel.link, hop, mac)) for hop in hops]
        return [*entries, messages.delete_forwarding(Forwarding(tunnel.link, mac, node))]

    def _write(self, secret: Secret) -> None:
        try:
            self._secrets.write(secret)
        except OSError as error:
            raise Unavailable(f"keys cannot be kept: {error}") from error
        self._known[secret.generation] = secret

    def knock(self, tunnel: Tunnel) -> None:
        """See `Kind`. A frame that means nothing: that it comes through is all."""
        own = messages.mac_bytes(self._underlay.vtep_mac)
        with suppress(OSError), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.setblocking(False)
            for node in _addresses(tunnel.peers):
                frame = messages.mac_bytes(vtep_mac(node)) + own + _KNOCK_TYPE.to_bytes(2, "big") + bytes(46)
                with suppress(OSError):  # no association with it yet
                    raw.sendto(frame, (tunnel.name, 0))


def _open() -> Connection | None:
    try:
        return Connection(xfrm.XFRM)
    except OSError:  # the kernel has no XFRM
        return None


def _others(peers: Mapping[bytes, Peer]) -> frozenset[Other]:
    return frozenset(Other(key, peer.endpoint[0]) for key, peer in peers.items() if peer.endpoint is not None)


def _addresses(peers: Mapping[bytes, Peer]) -> frozenset[Address]:
    return frozenset(peer.endpoint[0] for peer in peers.values() if peer.endpoint is not None)
