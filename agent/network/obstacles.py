"""Other programs' rules and settings of this host that stand in the way of containers' traffic, and what to do."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agent.network.firewall import Objects, Packet, drops
from agent.network.legacy_iptables import PROGRAMS
from agent.network.names import DEVICE_PREFIX, FAMILY, GATEWAY, LINK_PREFIX, TABLE, VXLAN_DEVICE
from agent.network.netlink.messages import Address

_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_A_CONTAINER = LINK_PREFIX + "0"
"""Any of their links."""
LINKS = (f"{LINK_PREFIX}*", f"{DEVICE_PREFIX}*")
"""All of ours that packets are forwarded from or to."""
# Not one rule with a set of names: iptables would read, and save, one that lets everything pass.
_BOTH_WAYS = "; insert rule CHAIN ".join(f'{way} "{link}" accept' for way in ("iifname", "oifname") for link in LINKS)
_BOTH_OPTIONS = [f"{way} {link.replace('*', '+')}" for way in ("-i", "-o") for link in LINKS]
_STRICT, _LOOSE = 1, 2
"""Values of rp_filter (ip-sysctl): drop senders whose replies would leave by another interface; or only those that
nothing leads to."""


def loosen() -> bool:
    """Let clients in that another node leads here, on a host that checks the way back of every sender strictly.

    The kernel takes the greater of a link's value and the host's own, so the check cannot be switched off for our
    device, but made loose: such clients have their way back by that node, not by the link that leads to them.

    Returns:
        Whether anything was changed.
    """
    host, device = (_SETTINGS / name / "rp_filter" for name in ("all", VXLAN_DEVICE))
    try:
        if int(host.read_text()) != _STRICT or int(device.read_text()) == _LOOSE:
            return False
        device.write_text(str(_LOOSE))
    except FileNotFoundError:  # the device is gone, and is made anew
        return False
    return True


@dataclass(frozen=True)
class Ports:
    """What other machines must reach on this one, at the interface of the underlay.

    Attributes:
        link: name of that interface.
        address: this node's, by which the others reach it.
        vxlan: UDP port of the tunnels.
        agent: TCP port of the agent's own server.
        resolver: UDP port that our rules lead containers' questions to, before any other rule sees them.
    """

    link: str
    address: Address
    vxlan: int
    agent: int
    resolver: int


@dataclass(frozen=True)
class Need:
    """Packets that have to pass, the families of tables that see them, and a rule that lets them pass.

    Attributes:
        rule: of nftables.
        options: the same for iptables; a rule for each.
    """

    packet: Packet
    families: Collection[str]
    rule: str
    options: Collection[str]


def forwarded(ports: Ports) -> list[Need]:
    """What containers send to others by this node, and what is sent to them."""
    ways = (
        ("what containers send", _A_CONTAINER, VXLAN_DEVICE),
        ("what containers send", _A_CONTAINER, ports.link),
        ("what is sent to containers", VXLAN_DEVICE, _A_CONTAINER),
        ("what is sent to containers", ports.link, _A_CONTAINER),
    )
    packets = (Packet(what, {"iifname": come, "oifname": go, "ct state": "new"}) for what, come, go in ways)
    return [Need(packet, ("ip", "ip6", "inet"), _BOTH_WAYS, _BOTH_OPTIONS) for packet in packets]


_NEW = {"ct state": "new", "ct status": "none"}


def _received(ports: Ports) -> list[Need]:
    family = "ip" if ports.address.version == 4 else "ip6"
    question = _NEW | {"iifname": _A_CONTAINER, "l4proto": "udp", "udp dport": ports.resolver}
    question["ip daddr"] = str(GATEWAY)
    tunnel = _NEW | {"iifname": ports.link, "l4proto": "udp", "udp dport": ports.vxlan, "ct state": "untracked"}
    manager = _NEW | {"iifname": ports.link, "l4proto": "tcp", "tcp dport": ports.agent}
    asked = "what containers ask the node's resolver"
    others = f"what other nodes send to containers of this one (UDP port {ports.vxlan})"
    told = f"what managers ask of this node (TCP port {ports.agent})"
    return [
        Need(Packet(asked, question), ("ip", "inet"), f'iifname "{LINK_PREFIX}*" accept', [f"-i {LINK_PREFIX}+"]),
        *(
            Need(Packet(what, packet), (family, "inet"), f"{by} dport {port} accept", [f"-p {by} --dport {port}"])
            for what, packet, by, port in ((others, tunnel, "udp", ports.vxlan), (told, manager, "tcp", ports.agent))
        ),
    ]


def obstacles(
    list_chains: Callable[[], Iterable[Mapping[str, Any]]], list_table: Callable[[str, str], Objects], ports: Ports
) -> Iterator[str]:
    """A line for each chain of another program that drops what has to pass for certain, with the command that helps.

    Raises:
        Unavailable: the kernel does not tell.
    """
    needs = {"forward": forwarded(ports), "input": _received(ports)}
    listed = cache(list_table)
    for chain in list_chains():
        family, table, name = (str(chain[key]) for key in ("family", "table", "name"))
        if chain.get("hook") not in needs or (family, table) == (FAMILY, TABLE):
            continue
        due = [need for need in needs[str(chain["hook"])] if family in need.families]
        rules = listed(family, table) if due else ()
        for need in _dropped(rules, name, due):
            place = f"{family} {table} {name}"
            yield (
                f"the chain {name} of nftables table {family} {table} drops {need.packet.what}: {_OR} nft 'insert rule "
                f"{place} {need.rule.replace('CHAIN', place)}'"
            )


_OR = "let it pass in the settings of the firewall whose it is, or until that is loaded again by"


def legacy_obstacles(tables: Mapping[str, Objects], ports: Ports) -> Iterator[str]:
    """The same of chains of iptables-legacy.

    Args:
        tables: of filters, by the program that lists them.
    """
    needs = {"FORWARD": forwarded(ports), "INPUT": _received(ports)}
    for program, rules in tables.items():
        for name, wanted in needs.items():
            for need in _dropped(rules, name, [need for need in wanted if PROGRAMS[program] in need.families]):
                commands = (f"{program} -I {name} {options} -j ACCEPT" for options in need.options)
                yield f"the chain {name} of {program} drops {need.packet.what}: {_OR} {' && '.join(commands)}"


def _dropped(rules: Objects, chain: str, needs: Iterable[Need]) -> list[Need]:
    """Those that the chain drops for certain; of those that one rule helps, the first."""
    dropped = [need for need in needs if drops(rules, chain, need.packet)]
    return list(reversed({need.rule: need for need in reversed(dropped)}.values()))
