"""The rules of our table. They are loaded once; afterwards only elements of its sets and maps change.

Packets that are neither a container's nor of our VXLAN pass every chain untouched, so that other tables on the host,
and other programs' tunnels on the same port, are not affected.
"""

from collections.abc import Callable, Iterator

from agent.network.balancing.bucket_elements import BALANCE_MAPS, BALANCE_SETS, balance_rules
from agent.network.cluster_state.service_map import FrontendKind
from agent.network.host.underlay import overlay_address, overlay_address6
from agent.network.ip_types import Address
from agent.network.netlink.rtnetlink import INGRESS_MARK, INGRESS_MASK
from agent.network.nftables.ipv6_rules import ipv6_name, ipv6_text
from agent.network.nftables.rule_ports import RulePorts
from agent.network.well_known import (
    ENCRYPTED_GROUP,
    FAMILY,
    GATEWAY,
    GATEWAY6,
    LINK_GROUPS,
    LINK_GROUPS_MASK,
    LOOPBACK6,
    OUR_GROUPS,
    OUR_GROUPS_MASK,
    OVERLAY_GROUP,
    TABLE,
)

QUERY_FLOODS = "dns_query_floods"
"""Container links with counters of dropped queries; each for a minute after the last one."""
_SETS = {
    "subnets": "type ipv4_addr; flags interval;",  # every container subnet that this node knows
    "same_network": "type ipv4_addr . ipv4_addr; flags interval;",  # allowed sources and destinations
    "encrypted": "type ipv4_addr; flags interval;",  # subnets that are never sent unencrypted between nodes
    "egress": "type ipv4_addr; flags interval;",  # subnets that may reach outside the cluster
    "mesh_subnets": "type ipv4_addr; flags interval;",  # of the routing mesh
    "peers": "type ipv4_addr;",  # underlay addresses whose tunnels are accepted
    "task_addresses": "type ifname . ipv4_addr;",  # source addresses that each container link may use
    "hairpin": "type ipv4_addr . ipv4_addr;",  # addresses of one container, which may be forwarded to itself
    "peer_to_itself": "type ipv4_addr . ipv4_addr;",  # each peer with itself
    "node_local": "type ipv4_addr; flags interval;",  # addresses that are different hosts on each node
    **BALANCE_SETS,
}
_MAPS = {
    "resolver_ports": "type inet_proto : inet_service;",  # the same, by protocol: port 53 is redirected there
    "published": "type inet_proto . inet_service : ipv4_addr . inet_service;",
    "published_at": "type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service;",
    **BALANCE_MAPS,
}
_NAMES6 = {name: ipv6_name(name) for name in (*_SETS, *_MAPS)}
_DYNAMIC = "type iface_index; size 65535; flags dynamic,timeout; timeout 1m;"
DYNAMIC_SETS = dict.fromkeys(("dns_udp_clients", "dns_tcp_clients", QUERY_FLOODS), _DYNAMIC)
"""Sets that packets fill: container links that query the resolver over UDP, over TCP, and beyond the limit."""
SETS = {
    "resolver_listeners": "type inet_proto . inet_service;",  # where the node's resolver listens
    **_SETS,
    **{_NAMES6[name]: ipv6_text(body, {}) for name, body in _SETS.items()},
}
MAPS = {
    "ingress_marks": "type ether_addr : mark;",  # by VTEP: the mark of connections that came in through that node
    "ingress_zones": "typeof ether saddr : ct zone;",  # by VTEP: the conntrack zone of those connections
    **_MAPS,
    **{_NAMES6[name]: ipv6_text(body, {}) for name, body in _MAPS.items()},
}

_SINGLE_FAMILY_CHAINS = ("to_virtual", "to_published")
"""Chains that see packets of one family only."""
_CONTAINER = f"& {LINK_GROUPS_MASK:#x} == {LINK_GROUPS:#x}"
_NOT_CONTAINER = f"& {LINK_GROUPS_MASK:#x} != {LINK_GROUPS:#x}"
_OVERLAY, _ENCRYPTED = OVERLAY_GROUP, ENCRYPTED_GROUP
_TUNNELS = f"{{ {_OVERLAY}, {_ENCRYPTED} }}"
_OUTSIDE = f"oifgroup & {OUR_GROUPS_MASK:#x} != {OUR_GROUPS:#x}"
_PROTOCOLS = "{ icmp, tcp, udp, dccp, 58, sctp, udplite }"  # 58: ICMPv6, whose name only /etc/protocols has
"""Protocols that containers may send outside their networks: no tunnels (GRE, IPIP, ESP, AH...), no routing protocols.
"""
_NO_TUNNEL_PORT = "33000-51000"
"""Source ports that no tunnel uses."""
_SYN = "tcp flags & (syn|ack) == syn"


def chains(ports: RulePorts, underlay: Address) -> dict[str, tuple[str, ...]]:
    """Every chain with its rules; a base chain's first line is its hook.

    Args:
        underlay: this node's address, by which other nodes reach it.
    """
    names = {
        **{f"@{name}": f"@{_NAMES6[name]}" for name in _NAMES6},
        **{name: ipv6_name(name) for name in _SINGLE_FAMILY_CHAINS},
        "127.0.0.0/8": "::1",
        str(GATEWAY): str(GATEWAY6),
        str(overlay_address(underlay)): str(overlay_address6(underlay)),
    }

    def both(*rules: str) -> Iterator[str]:
        """Each rule, and the same for IPv6."""
        for rule in rules:
            yield from (rule, ipv6_text(rule, names))

    found = _chains(ports, str(overlay_address(underlay)), both)
    for name in _SINGLE_FAMILY_CHAINS:
        found[ipv6_name(name)] = tuple(ipv6_text(rule, names) for rule in found[name])
    return found


def _chains(ports: RulePorts, node: str, both: Callable[..., Iterator[str]]) -> dict[str, tuple[str, ...]]:
    """The chains of both families, and the IPv4 ones of `_SINGLE_FAMILY_CHAINS`.

    Args:
        node: this node's address in the overlay.
    """
    tunnel = ports.match_overlay(ports.vxlan_ports)
    esp_only = [ports.match_overlay(str(port)) for port in ports.esp]
    published = f"ip daddr != {GATEWAY} fib daddr type local goto to_published"
    # The kernel forwards nothing from ::1: `LoopbackRelay` connects to an address that only it may use.
    published6, published_here6 = (
        f"ip6 daddr != {{ {GATEWAY6}, {other} }} fib daddr type local goto to_published6"
        for other in (LOOPBACK6, "::1")
    )
    egress = f"ip saddr @egress ip daddr != @subnets oifgroup {_NOT_CONTAINER} oifgroup != {_OVERLAY}"
    query_limit, connection_limit = (
        f"update @{name} {{ iif limit rate over {number}/second burst {number} packets }} goto drop_query"
        for name, number in (("dns_udp_clients", ports.queries), ("dns_tcp_clients", ports.queries // 20))
    )
    closed = [f"tcp dport {ports.closed_ports} reject with tcp reset"] if ports.closed else []
    # One comparison for TCP, which no tunnel uses.
    leaves = f"meta l4proto != tcp {_OUTSIDE} jump check_egress"
    clamp = "tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu"
    return {
        "before_tracking": (
            "type filter hook prerouting priority raw; policy accept;",
            f"iifgroup {_CONTAINER} goto check_sender",
            f"iifgroup {_OVERLAY} jump ingress_zone",
            f"{tunnel} notrack",
        ),
        # Two nodes may forward a client here that uses one port for both: two connections with the same addresses and
        # ports, told apart by their ingress node. Replies are in no zone: the kernel gives the second one another port.
        "ingress_zone": tuple(both("ip daddr @mesh_subnets ct original zone set ether saddr map @ingress_zones")),
        # A container uses only its own source addresses, and never reaches the host's loopback (route_localnet is on).
        "check_sender": (
            "meta nfproto ipv6 goto check_sender6",
            "iifname . ip saddr != @task_addresses drop",
            "ip daddr 127.0.0.0/8 drop",
            f"ip daddr {GATEWAY} goto dns_to_resolver",
        ),
        "check_sender6": (
            "iifname . ip6 saddr != @task_addresses6 drop",
            "ip6 daddr { ::1, fe80::/10, ff00::/8 } drop",
        ),
        # Before tracking, so that a query costs no translation; the reply's port is rewritten after it.
        "dns_to_resolver": (
            # By link, so that a flood affects only the container that sends it.
            f"meta l4proto udp {query_limit}",
            f"{_SYN} {connection_limit}",
            "udp dport 53 udp dport set meta l4proto map @resolver_ports",
            "tcp dport 53 tcp dport set meta l4proto map @resolver_ports",
        ),
        "drop_query": ("update @dns_query_floods { iif counter } drop",),
        "resolver_answers": (
            "type filter hook output priority mangle; policy accept;",
            f"oifgroup {_CONTAINER} ip saddr {GATEWAY} meta l4proto . th sport @resolver_listeners goto from_port_53",
        ),
        "from_port_53": ("udp sport set 53", "tcp sport set 53"),
        "overlay_output": (
            "type filter hook output priority raw; policy accept;",
            *(f"{each} rt ipsec missing drop" for each in esp_only),
            f"{tunnel} notrack",
        ),
        "forward": (
            "type filter hook forward priority filter; policy accept;",
            f"iifgroup {_CONTAINER} goto from_container",
            f"iifgroup {_TUNNELS} goto from_overlay",
            f"oifgroup {_CONTAINER} goto to_container",
            f"oifgroup {_OVERLAY} jump drop_unencrypted",
            # Clients that this node forwards to a task on another one, whose reply returns the same way.
            f"oifgroup {_OVERLAY} ct status dnat accept",
            f"oifgroup {_OVERLAY} ct state established,related accept",
            f"oifgroup {_TUNNELS} drop",
        ),
        "drop_unencrypted": tuple(both("ip daddr @encrypted drop")),
        "from_container": (
            # The mark that routed the reply back to its ingress node would also route the tunnel's outer packets.
            f"meta mark & {INGRESS_MASK} == {INGRESS_MARK} meta mark set 0",
            f"oifgroup {_OVERLAY} jump drop_unencrypted",
            clamp,
            # Before established connections: a reply to a client's port is a packet to that port like any other.
            leaves,
            "ct state established,related accept",
            "ct state invalid drop",
            *both(
                f"oifgroup {_CONTAINER} ip saddr . ip daddr @same_network accept",
                f"oifgroup {_TUNNELS} ip saddr . ip daddr @same_network accept",
                f"oifgroup {_CONTAINER} ct status dnat ip saddr @egress accept",
                f"oifgroup {_OVERLAY} ct status dnat ip saddr @egress accept",
            ),
            f"oifgroup {_CONTAINER} reject with icmpx type admin-prohibited",
            f"oifgroup {_OVERLAY} reject with icmpx type admin-prohibited",
            *both("ip daddr @subnets reject with icmpx type admin-prohibited"),
            *closed,
            *both("ip saddr @egress accept"),
            "reject with icmpx type admin-prohibited",
        ),
        # Otherwise a container could send frames into the overlay, or into another program's tunnel between the same
        # hosts, with this node's source address. Ports that clients may use too are closed only towards nodes.
        "check_egress": (f"meta l4proto != {_PROTOCOLS} drop", f"udp dport {ports.tunnel_ports} goto to_tunnel"),
        "to_tunnel": (f"udp dport {ports.vxlan} drop", *both("ip daddr @peers drop")),
        "from_overlay": (
            f"iifgroup {_OVERLAY} jump drop_unencrypted",
            f"oifgroup {_OVERLAY} jump drop_unencrypted",
            clamp,
            leaves,
            "ct state established,related accept",
            *both(f"oifgroup {_CONTAINER} ip saddr . ip daddr @same_network accept"),
            f"oifgroup {_CONTAINER} ct mark & {INGRESS_MASK} == {INGRESS_MARK} accept",
            "drop",
        ),
        "to_container": (
            clamp,
            "ct state established,related accept",
            "ct status dnat accept",
            "drop",
        ),
        "input": (
            "type filter hook input priority filter; policy accept;",
            *(f"{each} meta ipsec missing drop" for each in esp_only),
            f"{tunnel} goto from_peer",
            f"iifgroup {_CONTAINER} goto container_to_host",
            f"iifgroup {_TUNNELS} goto overlay_to_host",
            *both(f'ip daddr {GATEWAY} iifname != "lo" drop'),
        ),
        "from_peer": (*both("ip saddr @peers accept"), "drop"),
        "overlay_to_host": ("ct state established,related accept", "drop"),
        "container_to_host": (
            f"udp dport {ports.tunnel_ports} drop",
            "ct state established,related accept",
            f"ip daddr {GATEWAY} meta l4proto . th dport @resolver_listeners accept",
            *both(
                f"ip daddr {GATEWAY} icmp type echo-request accept",
                f"ip daddr {GATEWAY} reject with icmpx type port-unreachable",
            ),
            f"meta l4proto != {_PROTOCOLS} drop",
            "fib daddr type { broadcast, multicast } drop",
            *closed,
            *both("ip saddr @egress accept"),
            "reject with icmpx type admin-prohibited",
        ),
        # Replies of a connection that came in through another node return through it, since that node has to undo its
        # translation. Packets have the connection's mark only until routed, or it would route the outer packets too.
        "restore_ingress_mark": (
            "type filter hook prerouting priority mangle; policy accept;",
            f"iifgroup {_CONTAINER} ct mark & {INGRESS_MASK} == {INGRESS_MARK} "
            "ct direction reply meta mark set ct mark",
        ),
        "set_ingress_mark": tuple(
            both("ip daddr . meta l4proto . th dport @mesh_backends ct mark set ether saddr map @ingress_marks")
        ),
        "dnat_forwarded": (
            "type nat hook prerouting priority dstnat; policy accept;",
            f"iifgroup {_OVERLAY} jump set_ingress_mark",
            *both("ip daddr @virtual_ips goto to_virtual"),
            published,
            published6,
        ),
        "dnat_local": ("type nat hook output priority -100; policy accept;", published, published_here6),
        # Packets that reach the end of these two have no backend. Outside its network a virtual address is rejected.
        "to_virtual": (
            "ip saddr . ip daddr != @same_network goto refuse",
            *balance_rules(FrontendKind.VIRTUAL),
            "goto refuse",
        ),
        "to_published": (
            "dnat ip to meta l4proto . ip daddr . th dport map @published_at",
            "dnat ip to meta l4proto . th dport map @published",
            *balance_rules(FrontendKind.MESH_AT),
            *balance_rules(FrontendKind.MESH),
            "meta l4proto . th dport @mesh_ports goto refuse",
        ),
        "refuse": ("meta l4proto tcp reject with tcp reset", "reject with icmpx type port-unreachable"),
        "source_nat": (
            "type nat hook postrouting priority srcnat; policy accept;",
            *both(
                f"oifgroup {_CONTAINER} ip saddr 127.0.0.0/8 snat ip to {GATEWAY}",
                # Another node would reply to its own loopback, or to its own container with that address.
                f"oifgroup {_OVERLAY} ip saddr @node_local snat ip to {node}",
                # A node that is forwarded back to itself would reply to its own address directly.
                f"oifgroup {_OVERLAY} ip saddr . rt ip nexthop @peer_to_itself snat ip to {node}",
                # A container that is forwarded to itself would otherwise reply to itself directly.
                f"ip saddr . ip daddr @hairpin snat ip to {GATEWAY}",
                # A client must not use a tunnel's port: a node would drop replies to it.
                f"{egress} udp sport {ports.tunnel_ports} masquerade to :{_NO_TUNNEL_PORT}",
                f"{egress} masquerade",
            ),
        ),
    }


def definition(ports: RulePorts, underlay: Address) -> str:
    """The whole table without elements, as one transaction that replaces an earlier one."""
    lines = [f"add table {FAMILY} {TABLE}", f"delete table {FAMILY} {TABLE}", f"table {FAMILY} {TABLE} {{"]
    lines += [f"set {name} {{ {body} }}" for name, body in (*SETS.items(), *DYNAMIC_SETS.items())]
    lines += [f"map {name} {{ {body} }}" for name, body in MAPS.items()]
    # A chain must exist before a rule jumps to it, so the later ones come first.
    for name, rules in reversed(chains(ports, underlay).items()):
        lines += [f"chain {name} {{", *rules, "}"]
    return "\n".join([*lines, "}"]) + "\n"
