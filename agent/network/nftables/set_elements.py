"""Set and map elements of our table: desired, actual, and the transaction between them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from agent.network.attachments.attachment import Attachment
from agent.network.cluster_state.overlay_tables import OverlayTables
from agent.network.cluster_state.service_map import routable_address
from agent.network.host.underlay import overlay_address6
from agent.network.ip_types import Address, Network
from agent.network.netlink.rtnetlink import ZONE_MASK
from agent.network.nftables.ruleset import MAPS, SETS
from agent.network.well_known import FAMILY, LINK_PREFIX, LOOPBACK6, NODE_POOL6, TABLE

Elements = Mapping[str, frozenset[str]]
"""By set or map: its elements in nft's notation, protocols as numbers, maps as `key : value`."""

_LOOPBACK = "127.0.0.0/8"
NO_ELEMENTS: Elements = {name: frozenset() for name in (*SETS, *MAPS)}


def desired_elements(tables: OverlayTables, attachments: Iterable[Attachment], local_pool: IPv4Network) -> Elements:
    """The elements that the table should hold."""
    found: dict[str, set[str]] = {name: set() for name in (*SETS, *MAPS)}
    for subnet in tables.subnets.values():
        for prefix in subnet.prefixes:
            family = _family_suffix(prefix)
            found["subnets" + family].add(str(prefix))
            if subnet.mesh:
                found["mesh_subnets" + family].add(str(prefix))
            else:
                found["same_network" + family].add(f"{prefix} . {prefix}")
            if not subnet.internal:
                found["egress" + family].add(str(prefix))
            if subnet.encrypted:
                found["encrypted" + family].add(str(prefix))
    for name, values in pool_elements(local_pool).items():
        found[name] |= values
    for peer in tables.peers:
        found["peers" + _family_suffix(peer)].add(str(peer))
    for peer in tables.ingress_marks:
        next_hop = peer if isinstance(peer, IPv4Address) else overlay_address6(peer)
        found["peer_to_itself" + _family_suffix(peer)].add(f"{peer} . {next_hop}")
    found["ingress_marks"].update(f"{mac} : {mark}" for mark, mac in tables.ingress_marks.values())
    found["ingress_zones"].update(f"{mac} : {mark & ZONE_MASK}" for mark, mac in tables.ingress_marks.values())
    own = list(attachments)
    for elements in (*map(attachment_elements, own), link_elements(own)):
        for name, values in elements.items():
            found[name] |= values
    return {name: frozenset(values) for name, values in found.items()}


def pool_elements(local_pool: IPv4Network) -> Elements:
    """The elements of the node-local pools of both families."""
    found: dict[str, frozenset[str]] = {}
    for pool, loopback in ((local_pool, _LOOPBACK), (NODE_POOL6, str(LOOPBACK6))):
        end = _family_suffix(pool)
        found |= {name + end: frozenset({str(pool)}) for name in ("subnets", "egress")}
        found["node_local" + end] = frozenset({str(pool), loopback})
    return found


def resolver_elements(ports: Mapping[int, int]) -> Elements:
    """The elements that redirect containers' DNS queries to the resolver's ports, by protocol."""
    return {
        "resolver_ports": frozenset(f"{protocol} : {port}" for protocol, port in ports.items()),
        "resolver_listeners": frozenset(f"{protocol} . {port}" for protocol, port in ports.items()),
    }


def resolver_part(found: Elements) -> Elements:
    """The resolver's part of the elements."""
    return {name: found[name] for name in ("resolver_ports", "resolver_listeners")}


def local_pool_of(found: Elements) -> IPv4Network | None:
    """The node-local pool in these elements; None where they contain none."""
    pools = found["node_local"] - {_LOOPBACK}
    return IPv4Network(min(pools)) if len(pools) == 1 else None


def _family_suffix(address: Address | Network) -> str:
    """The suffix of the names of its sets."""
    return "" if address.version == 4 else "6"


def attachment_elements(attachment: Attachment) -> Elements:
    """The elements of one task."""
    return {
        **_attachment_elements_of(attachment, attachment.addresses.values(), attachment.egress_address, 4),
        **_attachment_elements_of(attachment, attachment.addresses6.values(), attachment.egress_address6, 6),
    }


def _attachment_elements_of(
    attachment: Attachment, addresses: Collection[Address], egress: Address | None, version: int
) -> Elements:
    """Published ports are forwarded to `egress`."""
    if not addresses:
        return {}
    end = "" if version == 4 else "6"
    hairpin = {f"{address} . {address}" for address in addresses}
    if egress is not None:
        hairpin |= {f"{egress} . {address}" for address in addresses}
    found = {
        "task_addresses" + end: frozenset(f'"{attachment.name}" . {address}' for address in addresses),
        "hairpin" + end: frozenset(hairpin),
    }
    if egress is None or not attachment.ports:
        return found
    return {
        **found,
        "published" + end: frozenset(
            f"{port.protocol} . {port.published} : {egress} . {port.target}"
            for port in attachment.ports
            if port.on_all_addresses(version)
        ),
        "published_at" + end: frozenset(
            f"{port.protocol} . {routable_address(port.host)} . {port.published} : {egress} . {port.target}"
            for port in attachment.ports
            if port.host is not None and port.on_one_address(version)
        ),
    }


def link_elements(attachments: Collection[Attachment]) -> Elements:
    """The elements by which containers without a network reach those that they are linked to, on this node."""
    linking = [each for each in attachments if each.links and "" in each.addresses]
    if not linking:
        return {}
    local = {each.container_id: each for each in attachments if each.container_id and "" in each.addresses}
    found: dict[str, set[str]] = {"same_network": set(), "same_network6": set()}
    for each in linking:
        for target in filter(None, map(local.get, each.links.values())):
            found["same_network"].add(f"{each.addresses['']} . {target.addresses['']}")
            if "" in each.addresses6 and "" in target.addresses6:
                found["same_network6"].add(f"{each.addresses6['']} . {target.addresses6['']}")
    return {name: frozenset(values) for name, values in found.items()}


_TASK_SETS = tuple(
    name + end for name in ("task_addresses", "hairpin", "published", "published_at") for end in ("", "6")
)


def task_part(found: Elements) -> Elements:
    """The part of this node's tasks."""
    return {name: found[name] for name in _TASK_SETS}


def merge(left: Elements, right: Elements) -> Elements:
    """The elements of both."""
    none: frozenset[str] = frozenset()
    return {name: left.get(name, none) | right.get(name, none) for name in NO_ELEMENTS}


def difference(left: Elements, right: Elements) -> Elements:
    """The elements of `left` that are not in `right`."""
    return {name: left.get(name, frozenset()) - right.get(name, frozenset()) for name in NO_ELEMENTS}


def parse_listing(objects: Sequence[Mapping[str, Any]]) -> Elements:
    """The table's elements, from its listing; unknown sets are ignored."""
    found = dict(NO_ELEMENTS)
    for entry in objects:
        body = entry.get("set") or entry.get("map")
        if body and body["name"] in found:
            found[body["name"]] = frozenset(_element(element) for element in body.get("elem", ()))
    return found


def _element(value: Any) -> str:
    """One element of a listing (libnftables-json(5), EXPRESSIONS) in nft's notation."""
    if isinstance(value, list):
        return f"{_element(value[0])} : {_element(value[1])}"
    if isinstance(value, dict) and "elem" in value:
        return _element(value["elem"]["val"])
    if isinstance(value, dict) and "concat" in value:
        return " . ".join(_element(part) for part in value["concat"])
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if isinstance(value, dict) and "range" in value:
        return "-".join(map(str, value["range"]))
    return f'"{value}"' if isinstance(value, str) and value.startswith(LINK_PREFIX) else str(value)


def transaction(old: Elements, new: Elements) -> str:
    """The commands between two states, removals first so that a key can change its value; empty without a change."""
    lines = []
    for verb, left, right in (("delete", new, old), ("add", old, new)):
        for name, values in right.items():
            if changed := values - left.get(name, frozenset()):
                listing = ", ".join(sorted(_key(value) if verb == "delete" else value for value in changed))
                lines.append(f"{verb} element {FAMILY} {TABLE} {name} {{ {listing} }}")
    return "\n".join(lines)


def _key(element: str) -> str:
    return element.partition(" : ")[0]
