"""The rules of our table. They are loaded once; afterwards only elements of its sets and maps change.

Packets that are not a container's and not our VXLAN's pass every chain untouched, so that other tables on the
host, and other programs' tunnels on the same port, keep what is theirs.
"""

from ipaddress import IPv4Address

from agent.network.balancing.elements import BALANCE_MAPS, BALANCE_SETS, balance_rules
from agent.network.balancing.frontends import Kind
from agent.network.names import FAMILY, GATEWAY, LINK_PREFIX, TABLE, VXLAN_DEVICE
from agent.network.netlink.messages import ENTRY_MARK, ENTRY_MASK

SETS = {
    "subnets": "type ipv4_addr; flags interval;",  # every subnet of containers that this node knows
    "pairs": "type ipv4_addr . ipv4_addr; flags interval;",  # who may send to whom: a network to itself
    "egress": "type ipv4_addr; flags interval;",  # subnets that may leave the cluster
    "peers": "type ipv4_addr;",  # underlay addresses whose tunnels are believed
    "owners": "type ifname . ipv4_addr;",  # which address may come out of which container
    "hairpin": "type ipv4_addr . ipv4_addr;",  # addresses of one container, which may lead to itself
    "same_peer": "type ipv4_addr . ipv4_addr;",  # each peer with itself
    "node_only": "type ipv4_addr; flags interval;",  # addresses that mean another thing on another node
    **BALANCE_SETS,
}
MAPS = {
    "published": "type inet_proto . inet_service : ipv4_addr . inet_service;",
    "published_at": "type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service;",
    "entries": "type ether_addr : mark;",  # by VTEP: the mark of what came in by that node
    **BALANCE_MAPS,
}

_CONTAINER = f'"{LINK_PREFIX}*"'
_OVERLAY = f'"{VXLAN_DEVICE}"'


def chains(vni: int, port: int, underlay: IPv4Address) -> dict[str, tuple[str, ...]]:
    """Every chain with its rules; a base chain's first line is its hook.

    Args:
        underlay: this node's address, by which other nodes reach it.
    """
    tunnel = f"udp dport {port} @th,96,24 {vni}"
    published = f"ip daddr != {GATEWAY} fib daddr type local goto to_published"
    clamp = "tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu"
    return {
        "before_tracking": (
            "type filter hook prerouting priority raw; policy accept;",
            f"iifname {_CONTAINER} goto check_sender",
            f"{tunnel} notrack",
        ),
        # A container speaks only with addresses of its own, and never to the host's loopback (route_localnet is on).
        "check_sender": (
            "meta nfproto ipv6 drop",
            "iifname . ip saddr != @owners drop",
            "ip daddr 127.0.0.0/8 drop",
        ),
        "own_tunnel": (
            "type filter hook output priority raw; policy accept;",
            f"{tunnel} notrack",
        ),
        "segment_size": (
            "type filter hook forward priority mangle; policy accept;",
            f"oifname {_CONTAINER} {clamp}",
            f"iifname {_CONTAINER} {clamp}",
        ),
        "forward": (
            "type filter hook forward priority filter; policy accept;",
            f"iifname {_CONTAINER} goto from_container",
            f"iifname {_OVERLAY} goto from_overlay",
            f"oifname {_CONTAINER} goto to_container",
            # Clients that this node leads to a task on another one, whose reply comes back the same way.
            f"oifname {_OVERLAY} ct status dnat accept",
            f"oifname {_OVERLAY} ct state established,related accept",
            f"oifname {_OVERLAY} drop",
        ),
        "from_container": (
            "ct state established,related accept",
            "ct state invalid drop",
            # Else a container could write frames into the overlay, with this node's address around them.
            f"udp dport {port} drop",
            f"oifname {_CONTAINER} ip saddr . ip daddr @pairs accept",
            f"oifname {_OVERLAY} ip saddr . ip daddr @pairs accept",
            f"oifname {{ {_CONTAINER}, {_OVERLAY} }} ct status dnat ip saddr @egress accept",
            f"oifname {_CONTAINER} reject with icmpx type admin-prohibited",
            f"oifname {_OVERLAY} reject with icmpx type admin-prohibited",
            "ip daddr @subnets reject with icmpx type admin-prohibited",
            "ip saddr @egress accept",
            "reject with icmpx type admin-prohibited",
        ),
        "from_overlay": (
            "ct state established,related accept",
            f"oifname {_CONTAINER} ip saddr . ip daddr @pairs accept",
            f"oifname {_CONTAINER} ct mark & {ENTRY_MASK} == {ENTRY_MARK} accept",
            "drop",
        ),
        "to_container": (
            "ct state established,related accept",
            "ct status dnat accept",
            "drop",
        ),
        "input": (
            "type filter hook input priority filter; policy accept;",
            f"{tunnel} ip saddr != @peers drop",
            f"iifname {_CONTAINER} goto container_to_host",
            f"iifname {_OVERLAY} ct state established,related accept",
            f"iifname {_OVERLAY} drop",
            f'ip daddr {GATEWAY} iifname != "lo" drop',
        ),
        "container_to_host": (
            "ct state established,related accept",
            f"udp dport {port} drop",
            f"ip daddr {GATEWAY} udp dport 53 accept",
            f"ip daddr {GATEWAY} tcp dport 53 accept",
            f"ip daddr {GATEWAY} icmp type echo-request accept",
            f"ip daddr {GATEWAY} reject with icmpx type port-unreachable",
            "ip saddr @egress accept",
            "reject with icmpx type admin-prohibited",
        ),
        # What comes in by another node goes back by it, since that one has to undo its translation. The mark is of the
        # connection; of packets only until they are routed, else the tunnel's own would be routed by it too.
        "remember_entry": (
            "type filter hook prerouting priority mangle; policy accept;",
            f"iifname {_CONTAINER} ct direction reply ct mark & {ENTRY_MASK} == {ENTRY_MARK} meta mark set ct mark",
            f"iifname {_OVERLAY} ct state new ip daddr . meta l4proto . th dport @mesh_targets"
            " ct mark set ether saddr map @entries",
        ),
        "forget_entry": (
            "type filter hook postrouting priority 300; policy accept;",
            f"oifname {_OVERLAY} meta mark set 0",
        ),
        "publish": (
            "type nat hook prerouting priority dstnat; policy accept;",
            "ip daddr @virtuals goto to_virtual",
            published,
        ),
        "publish_to_host": ("type nat hook output priority -100; policy accept;", published),
        # From outside the network a virtual address leads nowhere.
        "to_virtual": ("ip saddr . ip daddr != @pairs return", *balance_rules(Kind.VIRTUAL)),
        "to_published": (
            "dnat ip to meta l4proto . ip daddr . th dport map @published_at",
            "dnat ip to meta l4proto . th dport map @published",
            *balance_rules(Kind.MESH_AT),
            *balance_rules(Kind.MESH),
        ),
        # What still has a frontend's address after the translation found no backend.
        "without_backend": (
            "type filter hook prerouting priority -90; policy accept;",
            "ct state new ip daddr @virtuals goto refuse",
            "ct state new fib daddr type local meta l4proto . th dport @mesh_ports goto refuse",
        ),
        "without_backend_here": (
            "type filter hook output priority -90; policy accept;",
            f"ct state new ip daddr != {GATEWAY} fib daddr type local meta l4proto . th dport @mesh_ports goto refuse",
        ),
        "refuse": ("meta l4proto tcp reject with tcp reset", "reject with icmpx type port-unreachable"),
        "source": (
            "type nat hook postrouting priority srcnat; policy accept;",
            f"oifname {_CONTAINER} ip saddr 127.0.0.0/8 snat ip to {GATEWAY}",
            # Another node would answer its own loopback, or its own container of that address.
            f"oifname {_OVERLAY} ip saddr @node_only snat ip to {underlay}",
            # A node that is led back to itself would answer its own address directly.
            f"oifname {_OVERLAY} ip saddr . rt ip nexthop @same_peer snat ip to {underlay}",
            # A container that is led to itself would else answer itself directly.
            f"ip saddr . ip daddr @hairpin snat ip to {GATEWAY}",
            f"ip saddr @egress ip daddr != @subnets oifname != {_CONTAINER} oifname != {_OVERLAY} masquerade",
        ),
    }


def definition(vni: int, port: int, underlay: IPv4Address) -> str:
    """The whole table without elements, as one transaction that takes the place of an older one."""
    lines = [f"add table {FAMILY} {TABLE}", f"delete table {FAMILY} {TABLE}", f"table {FAMILY} {TABLE} {{"]
    lines += [f"set {name} {{ {body} }}" for name, body in SETS.items()]
    lines += [f"map {name} {{ {body} }}" for name, body in MAPS.items()]
    # A chain must be there before a rule jumps to it, so the later ones come first.
    for name, rules in reversed(chains(vni, port, underlay).items()):
        lines += [f"chain {name} {{", *rules, "}"]
    return "\n".join([*lines, "}"]) + "\n"
