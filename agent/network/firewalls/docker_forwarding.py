"""Coexistence with Docker: accept container traffic in chains where Docker's policy would drop it.

Where dockerd enables forwarding, it sets the policy of iptables' FORWARD chain to drop, for the packets of every
program. A chain of our own at its end accepts packets from and to our links. At the end, so that users' rules
(DOCKER-USER) and Docker's own still decide first; packets to Docker's networks are left to that policy, by which older
versions keep their containers' ports closed. The rules have a form that iptables-nft reads, saves and restores; they
are recognized by our chain's name, since libnftables cannot read a comment that iptables wrote.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

from agent.network.firewalls.blocked_traffic import (
    LINK_PATTERNS,
    RequiredPorts,
    RequiredTraffic,
    blocked_traffic,
    forwarded_traffic,
    legacy_blocked_traffic,
)
from agent.network.firewalls.legacy_iptables import filter_tables
from agent.network.firewalls.packet_verdict import PacketVerdict, RulesetListing, chain_verdict, policy
from agent.network.nftables.libnftables import Nftables
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

FORWARD_CHAIN = "SHOAL-FORWARD"
_DOCKER_CHAINS = frozenset({"DOCKER-USER", "DOCKER-FORWARD", "DOCKER"})
"""Chains of which every version of dockerd creates at least one."""
_DOCKER_PORTS_CHAIN = "DOCKER"
"""Where it opens ports of its containers, by bridge."""
_UFW_PREFIX = "ufw-"
"""Of ufw's chains. It sets the policy too, on behalf of its user."""
_FAMILIES = frozenset({"ip", "ip6"})
_COMMENT = 'comment "Shoal: container traffic"'
_LINK_NAME = re.compile(r"[\w.:@-]{1,15}", re.ASCII)


class ForwardRule(NamedTuple):
    """A rule of our chain; an empty link means any."""

    in_link: str
    out_link: str
    verdict: str

    def __str__(self) -> str:
        matches = [f'{way} "{link}"' for way, link in (("iifname", self.in_link), ("oifname", self.out_link)) if link]
        return " ".join([*matches, "counter", self.verdict, _COMMENT])


@dataclass(frozen=True)
class ChainUpdate:
    """The change that a table needs.

    Attributes:
        family: of the table.
        name: of the base chain.
        commands: of nft; run in one transaction with those of the other tables.
        opens: whether accept rules are missing.
    """

    family: str
    table: str
    name: str
    commands: Sequence[str]
    opens: bool


def forward_rules(objects: RulesetListing) -> list[ForwardRule]:
    """The rules of our chain. Most packets go to our links, so those rules come first."""
    closed = [ForwardRule("", bridge, "return") for bridge in _docker_bridges(objects)]
    return [
        *(ForwardRule("", link, "accept") for link in LINK_PATTERNS),
        *closed,
        *(ForwardRule(link, "", "accept") for link in LINK_PATTERNS),
    ]


def _docker_bridges(objects: RulesetListing) -> list[str]:
    """Docker's bridges, as its rules name them."""
    found = set()
    for rule in _rules(objects):
        parsed = _parse_forward_rule(rule)
        if _jump_target(rule) == _DOCKER_PORTS_CHAIN and parsed is not None and _LINK_NAME.fullmatch(parsed.out_link):
            found.add(parsed.out_link)
    return sorted(found)


def plan_chain_update(
    chain: Mapping[str, Any], objects: RulesetListing, needs: Iterable[RequiredTraffic]
) -> ChainUpdate | None:
    """The change that puts our rules at the end of a base chain and keeps them there; None where none is due. Pure.

    They are due where Docker is present, its chain drops by policy, and not all required traffic is dropped by a rule,
    which a user would have added on purpose. Existing rules stay, so that they work when the policy is set again.

    Args:
        objects: the chain's table.
    """
    family, table, name = (str(chain[key]) for key in ("family", "table", "name"))
    if family not in _FAMILIES or _DOCKER_CHAINS.isdisjoint(_chains(objects)):
        return None
    of_chain = [rule for rule in _rules(objects) if rule["chain"] == name]
    jumps = [rule for rule in of_chain if _jump_target(rule) == FORWARD_CHAIN]
    if any(_jump_target(rule).startswith(_UFW_PREFIX) for rule in of_chain):
        return (
            ChainUpdate(family, table, name, removal_commands(family, table, objects), opens=False) if jumps else None
        )
    if not jumps and not (policy(objects, name) == "drop" and _not_all_dropped(objects, name, needs)):
        return None
    desired = forward_rules(objects)
    at_end = len(jumps) == 1 and of_chain[-1] == jumps[0] and _parse_forward_rule(jumps[0]) == ForwardRule("", "", "")
    actual = [_parse_forward_rule(rule) for rule in _rules(objects) if rule["chain"] == FORWARD_CHAIN]
    if at_end and actual == desired:
        return None
    opens = not jumps or any(rule.verdict == "accept" and rule not in actual for rule in desired)
    return ChainUpdate(family, table, name, list(_update_commands(family, table, name, jumps, desired)), opens)


def _not_all_dropped(objects: RulesetListing, name: str, needs: Iterable[RequiredTraffic]) -> bool:
    return any(chain_verdict(objects, name, need.packet) is not PacketVerdict.DROPPED for need in needs)


def _update_commands(
    family: str, table: str, name: str, jumps: Iterable[Mapping[str, Any]], desired: Iterable[ForwardRule]
) -> Iterator[str]:
    yield f"add chain {family} {table} {FORWARD_CHAIN}"
    yield f"flush chain {family} {table} {FORWARD_CHAIN}"
    yield from (f"add rule {family} {table} {FORWARD_CHAIN} {rule}" for rule in desired)
    yield from (f"delete rule {family} {table} {name} handle {rule['handle']}" for rule in jumps)
    yield f"add rule {family} {table} {name} counter jump {FORWARD_CHAIN} {_COMMENT}"


def removal_commands(family: str, table: str, objects: RulesetListing) -> list[str]:
    """The commands that remove everything of ours from another's table, none where nothing is there. Pure."""
    if FORWARD_CHAIN not in _chains(objects):
        return []
    jumps = (rule for rule in _rules(objects) if _jump_target(rule) == FORWARD_CHAIN)
    return [
        *(f"delete rule {family} {table} {rule['chain']} handle {rule['handle']}" for rule in jumps),
        f"flush chain {family} {table} {FORWARD_CHAIN}",
        f"delete chain {family} {table} {FORWARD_CHAIN}",
    ]


def _chains(objects: RulesetListing) -> set[str]:
    return {str(entry["chain"]["name"]) for entry in objects if "chain" in entry}


def _rules(objects: RulesetListing) -> Iterator[Mapping[str, Any]]:
    return (entry["rule"] for entry in objects if "rule" in entry)


def _jump_target(rule: Mapping[str, Any]) -> str:
    """The chain that a rule jumps to; empty when to none."""
    found = (each[kind]["target"] for each in rule.get("expr", ()) for kind in ("jump", "goto") if kind in each)
    return str(next(found, ""))


def _parse_forward_rule(rule: Mapping[str, Any]) -> ForwardRule | None:
    """The links that a rule matches, and its verdict, empty for a jump; None where it matches anything else."""
    links, verdict = {"iifname": "", "oifname": ""}, ""
    for kind, body in (next(iter(each.items())) for each in rule.get("expr", ())):
        match body:
            case {"op": "==", "left": {"meta": {"key": ("iifname" | "oifname") as way}}, "right": str(link)}:
                links[way] = link
            case _ if kind in ("accept", "return"):
                verdict = kind
            case {"type": "match", "name": "comment"} if kind == "xt":
                pass
            case _ if kind not in ("counter", "jump"):
                return None
    return ForwardRule(links["iifname"], links["oifname"], verdict)


class RulesetAccess(Protocol):
    """What this needs of libnftables."""

    def list_chains(self) -> Sequence[Mapping[str, Any]]: ...
    def list_rules(self, family: str, name: str) -> RulesetListing: ...
    def run(self, command: str) -> None: ...


class DockerForwarding:
    """Keeps accept rules behind Docker's, and reports which other chains still drop traffic.

    Args:
        repaired: receives a line for rules that another program removed.
    """

    def __init__(self, *, repaired: Callable[[Iterable[str]], None]) -> None:
        self._repaired = repaired
        self._installed: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def check(self, required: RequiredPorts) -> list[str]:
        """Update the rules, and list blocked traffic, in the network namespace of the calling thread. See
        `blocked_traffic`, `legacy_blocked_traffic`.

        Raises:
            Unavailable: the kernel refused.
        """
        with self._lock:
            nftables = Nftables()
            try:
                return [*self.update_rules(nftables, required), *legacy_blocked_traffic(filter_tables(), required)]
            finally:
                nftables.close()

    def update_rules(self, nftables: RulesetAccess, required: RequiredPorts) -> list[str]:
        """The nftables part of `check`. All updates are one transaction."""
        chains, listed, refused = nftables.list_chains(), cache(nftables.list_rules), []
        forwarding = [each for each in chains if each.get("hook") == "forward" and each["family"] in _FAMILIES]
        self._installed |= _tables_with_chain(chains)
        found = (
            plan_chain_update(each, listed(each["family"], each["table"]), forwarded_traffic(required))
            for each in forwarding
        )
        if due := [each for each in found if each is not None]:
            try:
                nftables.run("\n".join(command for each in due for command in each.commands))
                self._report(due)
            except Unavailable as error:
                refused.append(f"cannot add rules for container traffic behind Docker's: {error}")
            listed.cache_clear()
        return [*refused, *blocked_traffic(nftables.list_chains, listed, required)]

    def _report(self, done: Iterable[ChainUpdate]) -> None:
        for each in done:
            place = f"{each.family} {each.table} {each.name}"
            if each.opens and (each.family, each.table) in self._installed:
                self._repaired([f"the rules for container traffic in chain {place} were missing"])
            elif each.opens:
                log.info(
                    "Chain %s has Docker's drop policy: added %s at its end for container traffic", place, FORWARD_CHAIN
                )
            else:
                log.info("Updated the rules for container traffic in chain %s", place)
            self._installed.add((each.family, each.table))


def _tables_with_chain(chains: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """The tables that contain our chain, by family and name."""
    return {(str(each["family"]), str(each["table"])) for each in chains if each["name"] == FORWARD_CHAIN}


def remove_rules(nftables: RulesetAccess) -> None:
    """Remove our chain and rules from other programs' tables.

    Raises:
        Unavailable: the kernel refused; nothing was changed.
    """
    tables = sorted(_tables_with_chain(nftables.list_chains()))
    commands = [command for each in tables for command in removal_commands(*each, nftables.list_rules(*each))]
    if commands:
        nftables.run("\n".join(commands))
