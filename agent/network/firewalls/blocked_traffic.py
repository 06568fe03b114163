"""Other programs' firewall rules that drop container traffic, with the command that allows it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from agent.network.firewalls.legacy_iptables import PROGRAMS
from agent.network.firewalls.packet_verdict import Packet, RulesetListing, drops
from agent.network.ip_types import Address
from agent.network.well_known import DEVICE_PREFIX, FAMILY, GATEWAY, LINK_PREFIX, TABLE, VXLAN_DEVICE

_ANY_CONTAINER_LINK = LINK_PREFIX + "0"
"""An example of a container link."""
LINK_PATTERNS = (f"{LINK_PREFIX}*", f"{DEVICE_PREFIX}*")
"""All of our links that packets are forwarded from or to."""
# Not one rule with a set of names: iptables would read, and save, it as one that accepts everything.
_ACCEPT_FORWARDED = "; insert rule CHAIN ".join(
    f'{way} "{link}" accept' for way in ("iifname", "oifname") for link in LINK_PATTERNS
)
_ACCEPT_FORWARDED_OPTIONS = [f"{way} {link.replace('*', '+')}" for way in ("-i", "-o") for link in LINK_PATTERNS]


@dataclass(frozen=True)
class RequiredPorts:
    """Ports that other machines must reach on this one, on the underlay interface.

    Attributes:
        interface: name of that interface.
        address: this node's, by which the others reach it.
        vxlan_port: UDP port of the overlay.
        agent_port: TCP port of the agent's server.
        resolver_port: UDP port that our rules redirect containers' DNS queries to, before any other rule.
    """

    interface: str
    address: Address
    vxlan_port: int
    agent_port: int
    resolver_port: int


@dataclass(frozen=True)
class RequiredTraffic:
    """Packets that must pass, the families of tables that see them, and a rule that accepts them.

    Attributes:
        rule: of nftables.
        options: the same for iptables; a rule for each.
    """

    packet: Packet
    families: Collection[str]
    rule: str
    options: Collection[str]


def forwarded_traffic(ports: RequiredPorts) -> list[RequiredTraffic]:
    """Traffic that this node forwards from and to containers."""
    paths = (
        ("traffic from containers", _ANY_CONTAINER_LINK, VXLAN_DEVICE),
        ("traffic from containers", _ANY_CONTAINER_LINK, ports.interface),
        ("traffic to containers", VXLAN_DEVICE, _ANY_CONTAINER_LINK),
        ("traffic to containers", ports.interface, _ANY_CONTAINER_LINK),
    )
    packets = (
        Packet(description, {"iifname": in_link, "oifname": out_link, "ct state": "new"})
        for description, in_link, out_link in paths
    )
    return [
        RequiredTraffic(packet, ("ip", "ip6", "inet"), _ACCEPT_FORWARDED, _ACCEPT_FORWARDED_OPTIONS)
        for packet in packets
    ]


_NEW_CONNECTION = {"ct state": "new", "ct status": "none"}


def received_traffic(ports: RequiredPorts) -> list[RequiredTraffic]:
    """Traffic that this host itself receives."""
    family = "ip" if ports.address.version == 4 else "ip6"
    dns_query = _NEW_CONNECTION | {"iifname": _ANY_CONTAINER_LINK, "l4proto": "udp", "udp dport": ports.resolver_port}
    dns_query["ip daddr"] = str(GATEWAY)
    tunnel = _NEW_CONNECTION | {
        "iifname": ports.interface,
        "l4proto": "udp",
        "udp dport": ports.vxlan_port,
        "ct state": "untracked",
    }
    manager = _NEW_CONNECTION | {"iifname": ports.interface, "l4proto": "tcp", "tcp dport": ports.agent_port}
    dns_text = "DNS queries from containers"
    overlay_text = f"overlay traffic from other nodes (UDP port {ports.vxlan_port})"
    control_text = f"connections from managers (TCP port {ports.agent_port})"
    return [
        RequiredTraffic(
            Packet(dns_text, dns_query), ("ip", "inet"), f'iifname "{LINK_PREFIX}*" accept', [f"-i {LINK_PREFIX}+"]
        ),
        *(
            RequiredTraffic(
                Packet(text, packet), (family, "inet"), f"{by} dport {port} accept", [f"-p {by} --dport {port}"]
            )
            for text, packet, by, port in (
                (overlay_text, tunnel, "udp", ports.vxlan_port),
                (control_text, manager, "tcp", ports.agent_port),
            )
        ),
    ]


def blocked_traffic(
    list_chains: Callable[[], Iterable[Mapping[str, Any]]],
    list_table: Callable[[str, str], RulesetListing],
    ports: RequiredPorts,
) -> Iterator[str]:
    """One line for each chain of another program that certainly drops required traffic, with the command that helps.

    Raises:
        Unavailable: the kernel refused.
    """
    required = {"forward": forwarded_traffic(ports), "input": received_traffic(ports)}
    listed = cache(list_table)
    for chain in list_chains():
        family, table, name = (str(chain[key]) for key in ("family", "table", "name"))
        if chain.get("hook") not in required or (family, table) == (FAMILY, TABLE):
            continue
        due = [need for need in required[str(chain["hook"])] if family in need.families]
        rules = listed(family, table) if due else ()
        for need in _dropped(rules, name, due):
            place = f"{family} {table} {name}"
            yield (
                f"chain {name} of nftables table {family} {table} drops {need.packet.description}: "
                f"{_ADVICE} nft 'insert rule {place} {need.rule.replace('CHAIN', place)}'"
            )


_ADVICE = "allow it in the configuration of that firewall, or until its next reload with:"


def legacy_blocked_traffic(tables: Mapping[str, RulesetListing], ports: RequiredPorts) -> Iterator[str]:
    """The same for chains of iptables-legacy.

    Args:
        tables: filter tables, by the program that lists them.
    """
    needs = {"FORWARD": forwarded_traffic(ports), "INPUT": received_traffic(ports)}
    for program, rules in tables.items():
        for name, traffic in needs.items():
            for need in _dropped(rules, name, [need for need in traffic if PROGRAMS[program] in need.families]):
                commands = (f"{program} -I {name} {options} -j ACCEPT" for options in need.options)
                fix = " && ".join(commands)
                yield f"chain {name} of {program} drops {need.packet.description}: {_ADVICE} {fix}"


def _dropped(rules: RulesetListing, chain: str, needs: Iterable[RequiredTraffic]) -> list[RequiredTraffic]:
    """Those that the chain certainly drops; of several that the same rule would accept, the first."""
    dropped = [need for need in needs if drops(rules, chain, need.packet)]
    return list(reversed({need.rule: need for need in reversed(dropped)}.values()))
