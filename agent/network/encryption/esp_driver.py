"""The ESP driver: a VXLAN device on its own port, whose packets are encrypted or dropped.

A policy for the whole port requires one of our security associations (transport mode), whatever the destination.
Without an association with the other node the packet is dropped, so a new node needs no policy of its own.
"""

import os
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from agent.network.encryption import security_associations
from agent.network.encryption.esp_key_store import EspKeyStore
from agent.network.encryption.key_generations import Tunnel, device_name, device_port
from agent.network.encryption.security_associations import EspPeer, EspSecret, association_pair
from agent.network.encryption.tunnel_driver import PeerUpdates
from agent.network.encryption.tunnel_links import LINK_SETTINGS, creation_error, set_up, usable_mtu
from agent.network.host.underlay import Underlay, next_hop
from agent.network.ip_types import Address, family_of
from agent.network.netlink import rtnetlink, rtnetlink_dump, xfrm
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import FdbEntry, Message, Neighbour
from agent.network.netlink.rtnetlink_dump import Link, Vxlan
from agent.network.netlink.wireguard import KEY_BYTES, TunnelPeer
from agent.network.netlink.xfrm import Policy, SecurityAssociation
from agent.network.well_known import ESP_PREFIX
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable
from shoal.networks.overlay_encryption import ESP
from shoal.networks.vtep import vtep_mac

_UNSUPPORTED = (
    "the kernel does not support IPsec ESP (CONFIG_XFRM_USER, CONFIG_INET_ESP, "
    "CONFIG_CRYPTO_GCM) or matching it in nftables: load the "
    "modules xfrm_user, esp4, esp6 and gcm, or use a kernel that has them"
)
_ALIAS = re.compile(r"keys of generation (\d+)")
_PROBE_ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802): the other node counts the packet and drops it."""
_DIRECTIONS = (xfrm.IN, xfrm.OUT)


class NodeAddresses(Protocol):
    """This node's underlay and IPv6 support, as last seen."""

    @property
    def underlay(self) -> Underlay: ...

    @property
    def has_ipv6(self) -> bool:
        """Whether containers on this node have IPv6."""
        ...


class EspDriver:
    """A `TunnelDriver`.

    Args:
        connection: rtnetlink; the caller closes it.
        first_port: UDP, of VXLAN; the following port is used too.
        secrets: stores private keys.
        node: this node's addresses.
        has_rules: whether nftables can match encrypted packets.
    """

    key_kind = OverlayKey.ESP
    uses_allowed_ips = False

    def __init__(
        self,
        *,
        connection: Connection,
        node: NodeAddresses,
        vni: int,
        first_port: int,
        secrets: EspKeyStore,
        has_rules: bool,
    ) -> None:
        self._connection = connection
        self._node = node
        self._local = node.underlay.address
        self._vni = vni
        self._first_port = first_port
        self._secrets = secrets
        self._socket = _open()
        self._supported = has_rules and self._probe()
        self._known: dict[int, EspSecret] = {}

    def _probe(self) -> bool:
        """Add and delete an association: the kernel loads its modules for it."""
        if self._socket is None:
            return False
        spi = xfrm.MIN_SPI + int.from_bytes(os.urandom(3), "big")
        add, delete = xfrm.probe(family_of(self._local), os.urandom(xfrm.KEY_BYTES), spi)
        try:
            self._socket.apply([add])
        except Unavailable:
            return False
        self._socket.apply([delete])
        return True

    @property
    def _underlay(self) -> Underlay:
        return self._node.underlay

    @property
    def _versions(self) -> tuple[int, ...]:
        """IP versions that containers on this node have."""
        return (4, 6) if self._node.has_ipv6 else (4,)

    @property
    def feature(self) -> str:
        """See `TunnelDriver`."""
        return ESP if self._supported else ""

    def close(self) -> None:
        """See `TunnelDriver`."""
        if self._socket is not None:
            self._socket.close()

    def require(self) -> None:
        """See `TunnelDriver`."""
        if not self._supported:
            raise Unavailable(_UNSUPPORTED)

    @property
    def _xfrm(self) -> Connection:
        if self._socket is None:
            raise Unavailable(_UNSUPPORTED)
        return self._socket

    def list_tunnels(self, known: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        """See `TunnelDriver`."""
        links = [link for link in rtnetlink_dump.links(self._connection) if link.name.startswith(ESP_PREFIX)]
        self._known = self._secrets.read() if links else {}
        found = {}
        for link in links:
            match = _ALIAS.fullmatch(link.alias)
            if match and (secret := self._known.get(int(match[1]))) is not None:
                found[secret.generation] = self._read_tunnel(secret, link, known.get(secret.generation))
        return found

    def _read_tunnel(self, secret: EspSecret, link: Link, known_tunnel: Tunnel | None) -> Tunnel:
        generation = secret.generation
        states = {
            each.state: each
            for each in xfrm.states(self._xfrm)
            if each.state.reqid == security_associations.reqid(generation)
        }
        packets = {state: each.packets for state, each in states.items()}
        policies = set(xfrm.policies(self._xfrm))
        port = device_port(self._first_port, generation)
        vxlan = Vxlan(self._vni, self._underlay.link, self._local, port)
        is_ours = (link.vxlan, link.mac, link.master) == (vxlan, self._underlay.vtep_mac, 0)
        nodes = self._nodes_with_entries(link)
        known = known_tunnel.peers if known_tunnel is not None else {}
        return Tunnel(
            generation,
            link.index,
            secret.public,
            port,
            usable_mtu(link),
            {
                each.key: known.get(each.key, TunnelPeer(each.key, (each.address, 0), frozenset()))
                for each in secret.used - secret.retired
                if each.address in nodes
            },
            security_associations.confirmed_keys(secret, self._local, packets),
            sum(each.bytes for each in states.values() if each.state.destination == self._local),
            link.name,
            uses_next_hops=True,
            needs_rekey=not is_ours or security_associations.needs_rekey(secret, self._local, states.keys()),
            has_policies=policies >= set(self._policies(generation)),
        )

    def _nodes_with_entries(self, link: Link) -> frozenset[Address]:
        """Nodes for which the device has all the FDB and neighbour entries that it needs."""
        neighbours = {
            (each.address, each.mac) for each in rtnetlink_dump.neighbours(self._connection) if each.link == link.index
        }
        return frozenset(
            entry.vtep
            for entry in rtnetlink_dump.fdb_entries(self._connection, link.index)
            if all((next_hop(entry.vtep, version), entry.mac) in neighbours for version in self._versions)
        )

    def _policies(self, generation: int) -> list[Policy]:
        port, reqid = device_port(self._first_port, generation), security_associations.reqid(generation)
        return [Policy(direction, family_of(self._local), port, reqid) for direction in _DIRECTIONS]

    def create(self, generation: int, mtu: int) -> Tunnel:
        """See `TunnelDriver`. The policies are added before the device, and the device before any key."""
        name, port = device_name(ESP_PREFIX, generation), device_port(self._first_port, generation)
        self.delete([generation])
        secret = EspSecret(generation, os.urandom(KEY_BYTES))
        try:
            self._store_secret(secret)
            self._xfrm.apply(map(xfrm.add_policy, self._policies(generation)))
            link = self._create_link(name, port, f"keys of generation {generation}", mtu)
        except Unavailable as error:
            self.delete([generation])
            raise creation_error(name, port, error) from error
        return Tunnel(generation, link, secret.public, port, mtu, name=name, uses_next_hops=True)

    def _create_link(self, name: str, port: int, alias: str, mtu: int) -> int:
        """Returns its index."""
        device = rtnetlink.add_vxlan(
            name,
            vni=self._vni,
            mac=self._underlay.vtep_mac,
            local=self._local,
            link=self._underlay.link,
            port=port,
            mtu=mtu,
            up=False,
        )
        without_autoconf = [rtnetlink.disable_ipv6_autoconf(name)] if 6 in self._versions else []
        self._connection.apply([device, *without_autoconf])
        link = socket.if_nametoindex(name)
        self._connection.apply([rtnetlink.set_link(link, alias=alias, ipv4=LINK_SETTINGS), set_up(link)])
        return link

    def delete(self, generations: Iterable[int]) -> None:
        """See `TunnelDriver`. The device is deleted first, the policies last: nothing is ever sent in clear text."""
        for generation in generations:
            self._connection.apply([rtnetlink.delete_link(device_name(ESP_PREFIX, generation))])
            if self._socket is None:
                continue
            reqid = security_associations.reqid(generation)
            ours = [each.state for each in xfrm.states(self._socket) if each.state.reqid == reqid]
            self._socket.apply(map(xfrm.delete_state, ours))
            policies = [each for each in xfrm.policies(self._socket) if each.reqid == reqid]
            self._socket.apply(map(xfrm.delete_policy, policies))
            self._secrets.delete(generation)

    def repair(self, tunnel: Tunnel, mtu: int) -> None:
        """See `TunnelDriver`."""
        if not tunnel.has_policies:
            self._xfrm.apply(map(xfrm.add_policy, self._policies(tunnel.generation)))
        if tunnel.mtu != mtu:
            self._connection.apply([set_up(tunnel.link, mtu)])

    def can_add(self, tunnel: Tunnel, peers: Mapping[bytes, TunnelPeer]) -> bool:
        """See `TunnelDriver`."""
        secret = self._known.get(tunnel.generation)
        return (
            secret is not None
            and security_associations.plan_associations(secret, self._local, _esp_peers(peers)) is not None
        )

    def add_peers(self, tunnels: PeerUpdates) -> None:
        """See `TunnelDriver`. What is to be installed is stored before it is."""
        for tunnel, peers in tunnels:
            planned = self._plan(tunnel, peers)
            if planned.secret != self._known[tunnel.generation]:
                self._store_secret(planned.secret)
            self._xfrm.apply(map(xfrm.add_state, planned.add))
            new = _addresses(peers) - _addresses(tunnel.peers)
            self._connection.apply(message for node in new for message in self._add_node(tunnel, node))

    def remove_peers(self, tunnels: PeerUpdates) -> None:
        """See `TunnelDriver`."""
        for tunnel, peers in tunnels:
            stale = self._stale_states(tunnel)
            self._xfrm.apply(map(xfrm.delete_state, stale))
            removed = _addresses(tunnel.peers) - _addresses(peers)
            self._connection.apply(message for node in removed for message in self._remove_node(tunnel, node))

    def _plan(self, tunnel: Tunnel, peers: Mapping[bytes, TunnelPeer]) -> security_associations.AssociationPlan:
        secret = self._known[tunnel.generation]
        planned = security_associations.plan_associations(secret, self._local, _esp_peers(peers))
        if planned is None:
            raise Unavailable(f"the keys of tunnel {tunnel.name} must be replaced")
        return planned

    def _stale_states(self, tunnel: Tunnel) -> list[SecurityAssociation]:
        """Associations of keys that other nodes no longer have."""
        secret = self._known[tunnel.generation]
        pairs = [association_pair(secret.generation, secret.private, self._local, each) for each in secret.retired]
        return [state for both in pairs if both for state in (both.outbound, both.inbound)]

    def _add_node(self, tunnel: Tunnel, node: Address) -> list[Message]:
        mac = vtep_mac(node)
        hops = {next_hop(node, version) for version in self._versions}
        entries = [rtnetlink.add_neighbour(Neighbour(tunnel.link, hop, mac)) for hop in hops]
        return [rtnetlink.add_fdb_entry(FdbEntry(tunnel.link, mac, node)), *entries]

    def _remove_node(self, tunnel: Tunnel, node: Address) -> list[Message]:
        mac = vtep_mac(node)
        hops = {next_hop(node, version) for version in self._versions}
        entries = [rtnetlink.delete_neighbour(Neighbour(tunnel.link, hop, mac)) for hop in hops]
        return [*entries, rtnetlink.delete_fdb_entry(FdbEntry(tunnel.link, mac, node))]

    def _store_secret(self, secret: EspSecret) -> None:
        try:
            self._secrets.write(secret)
        except OSError as error:
            raise Unavailable(f"cannot store keys: {error}") from error
        self._known[secret.generation] = secret

    def send_probe(self, tunnel: Tunnel) -> None:
        """See `TunnelDriver`. An empty frame: only its arrival counts."""
        own = rtnetlink.mac_bytes(self._underlay.vtep_mac)
        with suppress(OSError), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.setblocking(False)
            for node in _addresses(tunnel.peers):
                frame = rtnetlink.mac_bytes(vtep_mac(node)) + own + _PROBE_ETHERTYPE.to_bytes(2, "big") + bytes(46)
                with suppress(OSError):  # no association with it yet
                    raw.sendto(frame, (tunnel.name, 0))


def _open() -> Connection | None:
    try:
        return Connection(xfrm.XFRM)
    except OSError:  # the kernel has no XFRM
        return None


def _esp_peers(peers: Mapping[bytes, TunnelPeer]) -> frozenset[EspPeer]:
    return frozenset(EspPeer(key, peer.endpoint[0]) for key, peer in peers.items() if peer.endpoint is not None)


def _addresses(peers: Mapping[bytes, TunnelPeer]) -> frozenset[Address]:
    return frozenset(peer.endpoint[0] for peer in peers.values() if peer.endpoint is not None)
