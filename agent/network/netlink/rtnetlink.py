"""Requests of rtnetlink as bytes (rtnetlink(7), linux/rtnetlink.h, linux/if_link.h, linux/neighbour.h).

Each function returns one `Message`; nothing is sent here. Addresses are of the `ipaddress` module, MAC addresses text.
"""

import errno
import struct
from typing import NamedTuple

from agent.network.ip_types import AF_INET, AF_INET6, Address, Network, family_of

REQUEST, ACK, REPLACE, EXCLUSIVE, CREATE, DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
NEWRULE, DELRULE, GETRULE = 32, 33, 34

AF_BRIDGE = 7
IFF_UP, IFF_NOARP = 0x1, 0x80
ROUTE_PROTOCOL = 83
"""Marks our routes (rtm_protocol); free in /etc/iproute2/rt_protos."""
RTN_BLACKHOLE, RTN_UNREACHABLE = 6, 7
SCOPE_UNIVERSE, SCOPE_LINK = 0, 253
MAIN_TABLE, LOCAL_TABLE = 254, 255
INGRESS_MARK, INGRESS_MASK = 0x53000000, 0xFF000000
"""Marks of connections that another node forwards here: the rest are the last 24 bits of its underlay address."""
ZONE_MASK = 0xFFFF
"""The part of such a mark that is the conntrack zone of connections from that node; never 0, the default zone."""
SUBNET_METRIC = 0xF0000000
BLACKHOLE_METRIC = 0xE0000000
"""Metrics of the routes for a subnet's unassigned addresses: any other route to the same prefix takes precedence."""
NUD_PERMANENT, NUD_NOARP, NTF_SELF = 0x80, 0x40, 0x02

DEVCONF_SEND_REDIRECTS, DEVCONF_RP_FILTER, DEVCONF_ROUTE_LOCALNET = 6, 8, 26

_ADDR_GEN_MODE_NONE = 1
"""IN6_ADDR_GEN_MODE_NONE."""
_NODAD, _NOPREFIXROUTE = 0x02, 0x200
_INFINITE_LIFETIME = 0xFFFFFFFF

NOT_FOUND = frozenset({errno.ENODEV, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL})
"""The kernel's errors when an object to be removed does not exist."""
ALREADY_EXISTS = frozenset({errno.EEXIST})


class Message(NamedTuple):
    """One request.

    Attributes:
        description: for error messages.
        ignored_errors: error numbers that mean that there was nothing to do.
    """

    kind: int
    flags: int
    body: bytes
    description: str
    ignored_errors: frozenset[int] = frozenset()


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its padding (struct rtattr)."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def u32(kind: int, value: int) -> bytes:
    return struct.pack("=HHI", 8, kind, value)


def string(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nest(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | 0x8000, b"".join(attributes))


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _link_header(index: int = 0, up: bool | None = None, *, no_arp: bool = False) -> bytes:
    flags, change = (0, 0) if up is None else (IFF_UP * up, IFF_UP)
    if no_arp:
        flags, change = flags | IFF_NOARP, change | IFF_NOARP
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def named_link(name: str) -> bytes:
    """The start of a request for a new link that is down."""
    return _link_header() + string(3, name)


def mtu_of_link(mtu: int) -> bytes:
    return u32(4, mtu)


def _kind(name: str, *data: bytes) -> bytes:
    return nest(18, string(1, name), *((nest(2, *data),) if data else ()))


def _ipv4_settings(settings: dict[int, int]) -> bytes:
    """IFLA_AF_SPEC with values of net.ipv4.conf.<interface>: saves a write to /proc for each."""
    return nest(26, nest(AF_INET, nest(1, *(u32(key, value) for key, value in settings.items()))))


def disable_ipv6_autoconf(name: str) -> Message:
    """Keep the kernel from giving a link that is down an IPv6 address: it then solicits no routers or neighbours."""
    body = _link_header() + string(3, name) + nest(26, nest(AF_INET6, attribute(8, bytes([_ADDR_GEN_MODE_NONE]))))
    return Message(NEWLINK, 0, body, f"disable IPv6 address generation on link {name}")


class VethEnd(NamedTuple):
    """One end of a pair of virtual Ethernet interfaces."""

    name: str
    mac: str


def add_veth(host: VethEnd, container: VethEnd, netns_fd: int, mtu: int, group: int, *, index: int = 0) -> Message:
    """A pair, both down; the container's end has index 2 in its namespace, and group 0.

    Args:
        index: of the host's end; 0 for a free one. In a namespace that had a link before, the kernel uses the index of
            the container's end only if this is given too.
    """
    peer = _link_header(2) + string(3, container.name) + attribute(1, mac_bytes(container.mac))
    peer += u32(28, netns_fd) + u32(4, mtu)
    body = _link_header(index) + string(3, host.name) + attribute(1, mac_bytes(host.mac)) + u32(4, mtu)
    body += u32(27, group) + _kind("veth", attribute(1, peer))
    return Message(NEWLINK, CREATE | EXCLUSIVE, body, f"create link {host.name}")


def add_vxlan(
    name: str, *, vni: int, mac: str, local: Address, link: int, port: int, mtu: int, up: bool = True
) -> Message:
    """This node's VTEP: it neither learns nor floods (RFC 7348; linux/if_link.h, IFLA_VXLAN_*)."""
    data = (
        u32(1, vni),
        attribute(4 if local.version == 4 else 17, local.packed),
        u32(3, link),
        attribute(7, b"\0"),
        attribute(15, struct.pack(">H", port)),
    )
    body = _link_header(up=up) + string(3, name) + attribute(1, mac_bytes(mac)) + u32(4, mtu)
    return Message(NEWLINK, CREATE | EXCLUSIVE, body + _kind("vxlan", *data), f"create VXLAN device {name}")


def set_link(
    index: int,
    *,
    up: bool | None = None,
    name: str = "",
    alias: str = "",
    mtu: int = 0,
    group: int | None = None,
    master: int | None = None,
    ipv4: dict[int, int] | None = None,
    no_arp: bool = False,
    mac: str = "",
) -> Message:
    """Change the given settings of a link; `ipv4` has values of net.ipv4.conf by DEVCONF number; master 0 is none.

    Args:
        no_arp: disable ARP on the link: only configured neighbours are known.
    """
    body = _link_header(index, up, no_arp=no_arp)
    body += string(3, name) if name else b""
    body += attribute(1, mac_bytes(mac)) if mac else b""
    body += attribute(20, alias.encode()) if alias else b""
    body += u32(4, mtu) if mtu else b""
    body += u32(27, group) if group is not None else b""
    body += u32(10, master) if master is not None else b""
    body += _ipv4_settings(ipv4) if ipv4 else b""
    return Message(NEWLINK, 0, body, f"configure link {name or index}")


def delete_link(name: str) -> Message:
    return Message(DELLINK, 0, _link_header() + string(3, name), f"delete link {name}", NOT_FOUND)


def delete_group(group: int) -> Message:
    """Delete every link of a group at once, which costs about as much as a single link."""
    return Message(DELLINK, 0, _link_header() + u32(27, group), "delete the links of stopped tasks", NOT_FOUND)


def add_address(index: int, address: Address, scope: int = SCOPE_UNIVERSE, *, deprecated: bool = False) -> Message:
    """A host address, without a route to a subnet. An IPv6 address is used at once, without duplicate detection.

    Args:
        deprecated: of IPv6: not a source address of the host where there is another one (RFC 6724, rule 3).
    """
    body = struct.pack("=BBBBi", family_of(address), address.max_prefixlen, 0, scope, index)
    body += attribute(2, address.packed) + attribute(1, address.packed)
    if address.version == 6:
        body += u32(8, _NODAD | _NOPREFIXROUTE)
        body += attribute(6, struct.pack("=IIII", 0, _INFINITE_LIFETIME, 0, 0)) if deprecated else b""
    return Message(NEWADDR, CREATE | REPLACE, body, f"add address {address}")


def delete_address(index: int, address: Address) -> Message:
    body = struct.pack("=BBBBi", family_of(address), address.max_prefixlen, 0, 0, index)
    body += attribute(2, address.packed) + attribute(1, address.packed)
    return Message(DELADDR, 0, body, f"delete address {address}", NOT_FOUND)


BLACKHOLE_LINK = -1
"""In place of a route's link: packets without another route are dropped, without an ICMP error."""


class KernelRoute(NamedTuple):
    """A route. `via` is on-link; a link of 0 makes the destination unreachable; an MTU of 0 is the link's.

    Only containers' routes have an MTU, and they are never listed.
    """

    destination: Network
    link: int
    via: Address | None = None
    source: Address | None = None
    table: int = MAIN_TABLE
    mtu: int = 0


def _route_body(route: KernelRoute) -> bytes:
    destination, link, via, source, table, mtu = route
    kind, scope = (1, 0) if via else (1, SCOPE_LINK)
    if link in (0, BLACKHOLE_LINK):
        kind, scope = RTN_BLACKHOLE if link else RTN_UNREACHABLE, 0
    onlink = 4 if via else 0
    head = family_of(destination), destination.prefixlen
    body = struct.pack("=BBBBBBBBI", *head, 0, 0, table & 255, ROUTE_PROTOCOL, scope, kind, onlink)
    body += attribute(1, destination.network_address.packed) if destination.prefixlen else b""
    body += u32(15, table)
    metric = {0: SUBNET_METRIC, BLACKHOLE_LINK: BLACKHOLE_METRIC}.get(link)
    body += u32(4, link) if metric is None else u32(6, metric)
    body += _next_hop(via, destination) if via else b""
    body += nest(8, u32(2, mtu)) if mtu else b""
    return body + (attribute(7, source.packed) if source else b"")


def _next_hop(via: Address, destination: Network) -> bytes:
    """RTA_GATEWAY, or RTA_VIA for a next hop of the other family."""
    if via.version == destination.version:
        return attribute(5, via.packed)
    return attribute(18, struct.pack("=H", family_of(via)) + via.packed)


def add_route(route: KernelRoute) -> Message:
    return Message(NEWROUTE, CREATE | REPLACE, _route_body(route), f"add route to {route.destination}")


def delete_route(route: KernelRoute) -> Message:
    return Message(DELROUTE, 0, _route_body(route), f"delete route to {route.destination}", NOT_FOUND)


class RoutingRule(NamedTuple):
    """A rule that selects the routing table (linux/fib_rules.h), by a mark when `mask` is not 0.

    Attributes:
        skip_to: for packets with *another* mark, the priority to continue at; 0 for a rule with a table.
        table: 0 for a rule that does nothing: a target of `skip_to`.
    """

    priority: int
    mark: int = 0
    mask: int = 0
    table: int = 0
    skip_to: int = 0
    family: int = AF_INET


def _rule_body(rule: RoutingRule) -> bytes:
    lookup, skip, nothing = 1, 2, 3
    action = skip if rule.skip_to else lookup if rule.table else nothing
    inverted = 2 if rule.skip_to else 0
    body = struct.pack("=BBBBBBBBI", rule.family, 0, 0, 0, rule.table & 255, 0, 0, action, inverted)
    body += u32(6, rule.priority) + attribute(21, bytes([ROUTE_PROTOCOL]))
    body += u32(10, rule.mark) + u32(16, rule.mask) if rule.mask else b""
    body += u32(15, rule.table) if rule.table else b""
    return body + (u32(4, rule.skip_to) if rule.skip_to else b"")


def add_rule(rule: RoutingRule) -> Message:
    return Message(NEWRULE, CREATE | EXCLUSIVE, _rule_body(rule), f"add routing rule {rule.priority}", ALREADY_EXISTS)


def delete_rule(rule: RoutingRule) -> Message:
    return Message(DELRULE, 0, _rule_body(rule), f"delete routing rule {rule.priority}", NOT_FOUND)


class Neighbour(NamedTuple):
    """A permanent entry: the MAC address of an address on the link."""

    link: int
    address: Address
    mac: str


def _neighbour_body(entry: Neighbour) -> bytes:
    header = struct.pack("=BxxxiHBB", family_of(entry.address), entry.link, NUD_PERMANENT, 0, 0)
    return header + attribute(1, entry.address.packed) + attribute(2, mac_bytes(entry.mac))


def add_neighbour(entry: Neighbour) -> Message:
    return Message(NEWNEIGH, CREATE | REPLACE, _neighbour_body(entry), f"add neighbor {entry.address}")


def delete_neighbour(entry: Neighbour) -> Message:
    return Message(DELNEIGH, 0, _neighbour_body(entry), f"delete neighbor {entry.address}", NOT_FOUND)


class FdbEntry(NamedTuple):
    """A VXLAN FDB entry: frames to the MAC address go to the VTEP at this underlay address."""

    link: int
    mac: str
    vtep: Address


def _fdb_body(entry: FdbEntry) -> bytes:
    header = struct.pack("=BxxxiHBB", AF_BRIDGE, entry.link, NUD_PERMANENT | NUD_NOARP, NTF_SELF, 0)
    return header + attribute(2, mac_bytes(entry.mac)) + attribute(1, entry.vtep.packed)


def add_fdb_entry(entry: FdbEntry) -> Message:
    return Message(NEWNEIGH, CREATE | REPLACE, _fdb_body(entry), f"add FDB entry {entry.mac}")


def delete_fdb_entry(entry: FdbEntry) -> Message:
    return Message(DELNEIGH, 0, _fdb_body(entry), f"delete FDB entry {entry.mac}", NOT_FOUND)
