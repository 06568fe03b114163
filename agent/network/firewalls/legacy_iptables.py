"""Translates iptables-legacy rules, which nftables does not list, to libnftables-json(5)."""

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which
from typing import Any

from agent.network.firewalls.packet_verdict import RulesetListing
from shoal.errors import Unavailable

PROGRAMS = {"iptables-legacy": "ip", "ip6tables-legacy": "ip6"}
"""With the family of the tables that they list."""
_TABLE = "filter"
_PROC_NET = Path("/proc/thread-self/net")
"""Listing a table that is not in use with the program would load it."""
_LOCK_WAIT_SECONDS = 5
"""For another program that changes the tables."""
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
_LINKS = {"-i": "iifname", "-o": "oifname"}
_STATES = frozenset({"new", "established", "related", "invalid", "untracked"})
_MATCHES_BY_OPTION_ONLY = frozenset({"tcp", "udp", "comment", "conntrack", "state"})
"""Extensions that match by their options only."""
_UNKNOWN_MATCH: Mapping[str, Any] = {"xt": {"type": "match", "name": "other"}}


def parse_rules(text: str) -> RulesetListing:
    """Parse the output of `iptables-legacy -S`. Pure. Matches without an equivalent become an unknown extension."""
    lines = [shlex.split(line) for line in text.splitlines()]
    own_chains = {words[1] for words in lines if words[:1] == ["-N"]}
    found: list[Mapping[str, Any]] = []
    for words in lines:
        match words:
            case ["-P", name, policy]:
                found.append({"chain": {"name": name, "policy": policy.lower()}})
            case ["-N", name]:
                found.append({"chain": {"name": name}})
            case ["-A", name, *rest]:
                found.append({"rule": {"chain": name, "expr": list(_expressions(rest, own_chains))}})
    return found


def _expressions(words: list[str], own_chains: set[str]) -> Iterator[Mapping[str, Any]]:
    """The expressions of a rule, up to its target."""
    protocol = words[words.index("-p") + 1] if "-p" in words else ""
    rest, operator = iter(words), "=="
    for word in rest:
        if word == "!":
            operator = "!="
            continue
        if word in ("-j", "-g"):
            yield _parse_target(word, next(rest), own_chains)
            return
        yield from _parse_match(word, next(rest), operator, protocol) if word in _KNOWN_OPTIONS else [_UNKNOWN_MATCH]
        operator = "=="


_KNOWN_OPTIONS = frozenset({"-p", "-i", "-o", "-m", "--comment", "--dport", "--ctstate", "--state"})


def _parse_match(option: str, value: str, operator: str, protocol: str) -> Iterator[Mapping[str, Any]]:
    match option:
        case "-p":
            yield _match({"meta": {"key": "l4proto"}}, operator, value)
        case "-i" | "-o":
            yield _match({"meta": {"key": _LINKS[option]}}, operator, value.replace("+", "*"))
        case "--dport":
            yield _match({"payload": {"protocol": protocol, "field": "dport"}}, operator, _parse_ports(value))
        case "--ctstate" | "--state" if _STATES.issuperset(states := value.lower().split(",")):
            yield _match({"ct": {"key": "state"}}, operator.replace("==", "in"), states)
        case "--ctstate" | "--state":
            yield _UNKNOWN_MATCH
        case "-m" if value not in _MATCHES_BY_OPTION_ONLY:
            yield _UNKNOWN_MATCH


def _match(left: Mapping[str, Any], operator: str, right: object) -> Mapping[str, Any]:
    return {"match": {"left": left, "op": operator, "right": right}}


def _parse_ports(text: str) -> object:
    first, _, last = text.partition(":")
    return {"range": [int(first), int(last)]} if last else int(first)


def _parse_target(option: str, name: str, own_chains: set[str]) -> Mapping[str, Any]:
    if name in own_chains:
        return {"jump" if option == "-j" else "goto": {"target": name}}
    return {_VERDICTS[name]: None} if name in _VERDICTS else {"xt": {"type": "target", "name": name}}


def filter_tables() -> dict[str, RulesetListing]:
    """The tables in use in the network namespace of the calling thread, by program; none where it is not installed.

    Raises:
        Unavailable: the program failed.
    """
    return {
        program: parse_rules(_run(path))
        for program, family in PROGRAMS.items()
        if _is_in_use(family) and (path := which(program)) is not None
    }


def _is_in_use(family: str) -> bool:
    try:
        return _TABLE in (_PROC_NET / f"{family}_tables_names").read_text().split()
    except FileNotFoundError:  # the kernel has no legacy tables
        return False


def _run(path: str) -> str:
    command = [path, "--wait", str(_LOCK_WAIT_SECONDS), "--table", _TABLE, "--list-rules"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * _LOCK_WAIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"cannot list the rules of {path}: {error}") from error
    return done.stdout
