"""Docker beside us: rules of ours let containers' traffic pass where Docker's policy would drop it.

Where dockerd turns forwarding on, it makes "drop" the policy of iptables' FORWARD, which is then said of everybody's
packets. A chain of our own at its end accepts what comes from and goes to our links. At the end, so that what users
wrote (DOCKER-USER) and Docker's own rules still decide first; and what is for Docker's networks is left to that policy,
by which older ones keep their containers' ports closed. The rules are of a form that iptables-nft reads, saves and
restores; they are known again by our chain's name, since libnftables cannot read a comment that iptables wrote.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

from agent.network.firewall import Fate, Objects, fate, policy
from agent.network.legacy_iptables import tables_here
from agent.network.nftables.libnftables import Nftables
from agent.network.obstacles import LINKS, Need, Ports, forwarded, legacy_obstacles, obstacles
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

CHAIN = "SHOAL-FORWARD"
_DOCKERS = frozenset({"DOCKER-USER", "DOCKER-FORWARD", "DOCKER"})
"""Chains of which dockerd makes one at least, whatever its version."""
_PORTS_OF_DOCKER = "DOCKER"
"""Where it opens ports of its containers, by bridge."""
_UFW = "ufw-"
"""Of that one's chains. It sets the policy too, and what it means by that is its user's wish."""
_FAMILIES = frozenset({"ip", "ip6"})
_OURS = 'comment "Shoal: containers of its services"'
_LINK_NAME = re.compile(r"[\w.:@-]{1,15}", re.ASCII)


class Rule(NamedTuple):
    """One of our chain; empty links are any."""

    come: str
    go: str
    verdict: str

    def __str__(self) -> str:
        matches = [f'{way} "{link}"' for way, link in (("iifname", self.come), ("oifname", self.go)) if link]
        return " ".join([*matches, "counter", self.verdict, _OURS])


@dataclass(frozen=True)
class Passage:
    """What is to be done in a table.

    Attributes:
        family: of the table.
        name: the base chain's.
        commands: of nft; to be done together with those of the other tables.
        opens: what accepts is not there, or not all of it.
    """

    family: str
    table: str
    name: str
    commands: Sequence[str]
    opens: bool


def rules(objects: Objects) -> list[Rule]:
    """Of our chain beside these of Docker's. Most packets go to our links, so that is asked first."""
    closed = [Rule("", bridge, "return") for bridge in _bridges(objects)]
    return [*(Rule("", link, "accept") for link in LINKS), *closed, *(Rule(link, "", "accept") for link in LINKS)]


def _bridges(objects: Objects) -> list[str]:
    """Docker's, as its rules name them."""
    found = set()
    for rule in _rules(objects):
        asked = _asked(rule)
        if _target(rule) == _PORTS_OF_DOCKER and asked is not None and _LINK_NAME.fullmatch(asked.go):
            found.add(asked.go)
    return sorted(found)


def passage(chain: Mapping[str, Any], objects: Objects, needs: Iterable[Need]) -> Passage | None:
    """What brings our rules to the end of a base chain and keeps them there; None where nothing is due. Pure.

    They are due where Docker is, its chain drops by the policy, and not all that is needed is dropped by a rule, which
    would be somebody's wish. What is there stays, so that a policy which is set again finds it.

    Args:
        objects: the chain's table.
    """
    family, table, name = (str(chain[key]) for key in ("family", "table", "name"))
    if family not in _FAMILIES or _DOCKERS.isdisjoint(_chains(objects)):
        return None
    of_chain = [rule for rule in _rules(objects) if rule["chain"] == name]
    jumps = [rule for rule in of_chain if _target(rule) == CHAIN]
    if any(_target(rule).startswith(_UFW) for rule in of_chain):
        return Passage(family, table, name, withdrawal(family, table, objects), opens=False) if jumps else None
    if not jumps and not (policy(objects, name) == "drop" and _may_pass(objects, name, needs)):
        return None
    wanted = rules(objects)
    at_end = len(jumps) == 1 and of_chain[-1] == jumps[0] and _asked(jumps[0]) == Rule("", "", "")
    present = [_asked(rule) for rule in _rules(objects) if rule["chain"] == CHAIN]
    if at_end and present == wanted:
        return None
    opens = not jumps or any(rule.verdict == "accept" and rule not in present for rule in wanted)
    return Passage(family, table, name, list(_placing(family, table, name, jumps, wanted)), opens)


def _may_pass(objects: Objects, name: str, needs: Iterable[Need]) -> bool:
    return any(fate(objects, name, need.packet) is not Fate.DROPPED for need in needs)


def _placing(
    family: str, table: str, name: str, jumps: Iterable[Mapping[str, Any]], wanted: Iterable[Rule]
) -> Iterator[str]:
    yield f"add chain {family} {table} {CHAIN}"
    yield f"flush chain {family} {table} {CHAIN}"
    yield from (f"add rule {family} {table} {CHAIN} {rule}" for rule in wanted)
    yield from (f"delete rule {family} {table} {name} handle {rule['handle']}" for rule in jumps)
    yield f"add rule {family} {table} {name} counter jump {CHAIN} {_OURS}"


def withdrawal(family: str, table: str, objects: Objects) -> list[str]:
    """The commands that remove everything of ours from another's table, none where nothing is there. Pure."""
    if CHAIN not in _chains(objects):
        return []
    jumps = (rule for rule in _rules(objects) if _target(rule) == CHAIN)
    return [
        *(f"delete rule {family} {table} {rule['chain']} handle {rule['handle']}" for rule in jumps),
        f"flush chain {family} {table} {CHAIN}",
        f"delete chain {family} {table} {CHAIN}",
    ]


def _chains(objects: Objects) -> set[str]:
    return {str(entry["chain"]["name"]) for entry in objects if "chain" in entry}


def _rules(objects: Objects) -> Iterator[Mapping[str, Any]]:
    return (entry["rule"] for entry in objects if "rule" in entry)


def _target(rule: Mapping[str, Any]) -> str:
    """The chain that a rule leads to; empty when to none."""
    found = (each[kind]["target"] for each in rule.get("expr", ()) for kind in ("jump", "goto") if kind in each)
    return str(next(found, ""))


def _asked(rule: Mapping[str, Any]) -> Rule | None:
    """By which links a rule goes, and its verdict, empty when it is a jump; None where it asks for more than that."""
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
    return Rule(links["iifname"], links["oifname"], verdict)


class Tables(Protocol):
    """The part of libnftables that is needed here."""

    def list_chains(self) -> Sequence[Mapping[str, Any]]: ...
    def list_rules(self, family: str, name: str) -> Objects: ...
    def run(self, command: str) -> None: ...


class BesideDocker:
    """Makes way for containers' traffic, and tells what then still stands in it.

    Args:
        repaired: takes a line for what was there, and somebody removed.
    """

    def __init__(self, *, repaired: Callable[[Iterable[str]], None]) -> None:
        self._repaired = repaired
        self._known: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def look(self, ports: Ports) -> list[str]:
        """Both, in the network namespace of the calling thread. See `obstacles`, `legacy_obstacles`.

        Raises:
            Unavailable: the kernel does not tell.
        """
        with self._lock:
            nftables = Nftables()
            try:
                return [*self.make_way(nftables, ports), *legacy_obstacles(tables_here(), ports)]
            finally:
                nftables.close()

    def make_way(self, nftables: Tables, ports: Ports) -> list[str]:
        """In nftables alone. All that is due is done in one transaction."""
        chains, listed, refused = nftables.list_chains(), cache(nftables.list_rules), []
        forwarding = [each for each in chains if each.get("hook") == "forward" and each["family"] in _FAMILIES]
        self._known |= _tables(chains)
        found = (passage(each, listed(each["family"], each["table"]), forwarded(ports)) for each in forwarding)
        if due := [each for each in found if each is not None]:
            try:
                nftables.run("\n".join(command for each in due for command in each.commands))
                self._tell(due)
            except Unavailable as error:
                refused.append(f"Docker's rules cannot be told to let containers' traffic pass: {error}")
            listed.cache_clear()
        return [*refused, *obstacles(nftables.list_chains, listed, ports)]

    def _tell(self, done: Iterable[Passage]) -> None:
        for each in done:
            place = f"{each.family} {each.table} {each.name}"
            if each.opens and (each.family, each.table) in self._known:
                self._repaired([f"the rules for containers' traffic in {place}, behind Docker's, were missing"])
            elif each.opens:
                log.info("Docker's policy of %s is to drop: %s at its end lets containers' traffic pass", place, CHAIN)
            else:
                log.info("The rules for containers' traffic in %s follow what others changed there", place)
            self._known.add((each.family, each.table))


def _tables(chains: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Those that our chain is in, by family and name."""
    return {(str(each["family"]), str(each["table"])) for each in chains if each["name"] == CHAIN}


def withdraw(nftables: Tables) -> None:
    """Remove everything of ours from others' tables.

    Raises:
        Unavailable: the kernel refused it; nothing of it was done.
    """
    tables = sorted(_tables(nftables.list_chains()))
    commands = [command for each in tables for command in withdrawal(*each, nftables.list_rules(*each))]
    if commands:
        nftables.run("\n".join(commands))
