"""Lists links, addresses, routes, neighbours and FDB entries by netlink dumps."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from agent.network.ip_types import AF_INET, AF_INET6, Address, Network
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import (
    AF_BRIDGE,
    BLACKHOLE_LINK,
    GETADDR,
    GETLINK,
    GETNEIGH,
    GETROUTE,
    GETRULE,
    IFF_UP,
    LOCAL_TABLE,
    NUD_PERMANENT,
    ROUTE_PROTOCOL,
    RTN_BLACKHOLE,
    RTN_UNREACHABLE,
    FdbEntry,
    KernelRoute,
    Neighbour,
    RoutingRule,
    u32,
)

_FAMILIES = {AF_INET: 4, AF_INET6: 16}
"""Bytes of an address."""


@dataclass(frozen=True)
class Vxlan:
    """The settings of a VXLAN device.

    Attributes:
        vni: VXLAN network identifier.
        underlay_link: index of the interface that it sends through, 0 without one.
        local: source address of the tunnels, None for any.
        port: UDP.
    """

    vni: int
    underlay_link: int
    local: Address | None
    port: int


@dataclass(frozen=True)
class Link:
    """A network interface.

    Attributes:
        alias: `ip link set … alias`, empty without one.
        master: index of the bridge or bond that it belongs to, 0 without one.
        vxlan: None for other kinds.
        group: IFLA_GROUP, which rules match; 0 by default.
    """

    index: int
    name: str
    up: bool
    mtu: int
    mac: str
    alias: str
    master: int = 0
    vxlan: Vxlan | None = None
    group: int = 0


def parse_attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """The attributes from `offset` on, by number; of a repeated one, the last."""
    found: dict[int, bytes] = {}
    end = len(body)
    while offset + 4 <= end:
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _integer(value: bytes | None) -> int:
    return int(struct.unpack_from("=I", value)[0]) if value else 0


def _text(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode(errors="replace") if value else ""


def _vxlan(info: bytes | None) -> Vxlan | None:
    if info is None:
        return None
    inner = parse_attributes(info, 0)
    if _text(inner.get(1)) != "vxlan":
        return None
    data = parse_attributes(inner.get(2, b""), 0)
    local = data.get(4) or data.get(17)
    port = int.from_bytes(data.get(15, b""), "big")
    return Vxlan(_integer(data.get(1)), _integer(data.get(3)), ip_address(local) if local else None, port)


def links(connection: Connection) -> list[Link]:
    """Every link of the namespace."""
    found = []
    for reply in connection.dump(GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
        index, flags = struct.unpack_from("=iI", reply.body, 4)
        value = parse_attributes(reply.body, 16)
        found.append(
            Link(
                index=index,
                name=_text(value.get(3)),
                up=bool(flags & IFF_UP),
                mtu=_integer(value.get(4)),
                mac=value.get(1, b"").hex(":"),
                alias=_text(value.get(20)),
                master=_integer(value.get(10)),
                vxlan=_vxlan(value.get(18)),
                group=_integer(value.get(27)),
            )
        )
    return found


def addresses(connection: Connection) -> dict[Address, int]:
    """Every address of the namespace, with its link."""
    found: dict[Address, int] = {}
    for reply in connection.dump(GETADDR, struct.pack("=BBBBi", 0, 0, 0, 0, 0)):
        value = parse_attributes(reply.body, 8)
        local = value.get(2) or value.get(1)
        if local is not None and reply.body[0] in _FAMILIES:
            found[ip_address(local)] = int(struct.unpack_from("=i", reply.body, 4)[0])
    return found


def own_routes(connection: Connection) -> list[KernelRoute]:
    """Every route, of any table, with our protocol number."""
    return [_route(body) for body in _routes(connection, ROUTE_PROTOCOL)]


def blackhole_routes(connection: Connection) -> list[KernelRoute]:
    """Our blackhole routes."""
    return [_route(body) for body in _routes(connection, ROUTE_PROTOCOL, RTN_BLACKHOLE)]


def foreign_routes(connection: Connection) -> set[Network]:
    """Destinations of other programs' routes, of any table except the local one."""
    bodies = (body for body in _routes(connection, 0) if body[5] != ROUTE_PROTOCOL and body[4] != LOCAL_TABLE)
    return {_destination(body, parse_attributes(body, 12)) for body in bodies}


def _routes(connection: Connection, protocol: int, kind: int = 0) -> Iterator[bytes]:
    """Routes of all tables; of every protocol where that is 0, and of every kind likewise."""
    for family in _FAMILIES:
        header = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, protocol, 0, kind, 0)
        yield from (reply.body for reply in connection.dump(GETROUTE, header) if reply.body[0] == family)


def _destination(body: bytes, value: dict[int, bytes]) -> Network:
    return ip_network((value.get(1, bytes(_FAMILIES[body[0]])), body[1]))


def _route(body: bytes) -> KernelRoute:
    value = parse_attributes(body, 12)
    destination = _destination(body, value)
    via, source = value.get(5) or value.get(18, b"")[2:], value.get(7)
    # The kernel lists IPv6 ones with the link "lo".
    link = {RTN_UNREACHABLE: 0, RTN_BLACKHOLE: BLACKHOLE_LINK}.get(body[7], _integer(value.get(4)))
    gateway, sender = ip_address(via) if via else None, ip_address(source) if source else None
    return KernelRoute(destination, link, gateway, sender, _integer(value.get(15)) or body[4])


def own_rules(connection: Connection) -> list[RoutingRule]:
    """Every routing rule with our protocol number."""
    found = []
    for reply in connection.dump(GETRULE, struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)):
        value = parse_attributes(reply.body, 12)
        if value.get(21, b"\0")[0] == ROUTE_PROTOCOL:
            priority, mark, mask, table, skip_to = (_integer(value.get(kind)) for kind in (6, 10, 16, 15, 4))
            found.append(RoutingRule(priority, mark, mask, table, skip_to, reply.body[0]))
    return found


def neighbours(connection: Connection) -> list[Neighbour]:
    """Every permanent neighbour entry of the namespace."""
    found = []
    for reply in connection.dump(GETNEIGH, struct.pack("=BxxxiHBB", 0, 0, 0, 0, 0)):
        link, state = struct.unpack_from("=iH", reply.body, 4)
        value = parse_attributes(reply.body, 12)
        if reply.body[0] in _FAMILIES and state & NUD_PERMANENT and 1 in value and len(value.get(2, b"")) == 6:
            found.append(Neighbour(link, ip_address(value[1]), value[2].hex(":")))
    return found


def fdb_entries(connection: Connection, link: int) -> list[FdbEntry]:
    """Every FDB entry of a VXLAN device, except those without an address."""
    found = []
    for reply in connection.dump(GETNEIGH, struct.pack("=BxxxiHBB", AF_BRIDGE, 0, 0, 0, 0) + u32(8, link)):
        value = parse_attributes(reply.body, 12)
        if struct.unpack_from("=i", reply.body, 4)[0] == link and len(value.get(1, b"")) in (4, 16) and 2 in value:
            found.append(FdbEntry(link, value[2].hex(":"), ip_address(value[1])))
    return found
