"""The rules of iptables-legacy, which nftables does not show, in the form of its listings (libnftables-json(5))."""

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which
from typing import Any

from agent.network.firewall import Objects
from shoal.errors import Unavailable

PROGRAMS = {"iptables-legacy": "ip", "ip6tables-legacy": "ip6"}
"""With the family of what they list."""
_TABLE = "filter"
_IN_USE = Path("/proc/thread-self/net")
"""Asking the program for a table that is not in use would load it."""
_SECONDS = 5
"""To wait for another program that changes the tables."""
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
_LINKS = {"-i": "iifname", "-o": "oifname"}
_STATES = frozenset({"new", "established", "related", "invalid", "untracked"})
_WITHOUT_A_QUESTION = frozenset({"tcp", "udp", "comment", "conntrack", "state"})
"""Extensions whose options alone ask something."""
_UNKNOWN: Mapping[str, Any] = {"xt": {"type": "match", "name": "other"}}


def listed(text: str) -> Objects:
    """What `iptables-legacy -S` tells. Pure. Questions that have no form here are of an extension, which may be so."""
    lines = [shlex.split(line) for line in text.splitlines()]
    own = {words[1] for words in lines if words[:1] == ["-N"]}
    found: list[Mapping[str, Any]] = []
    for words in lines:
        match words:
            case ["-P", name, policy]:
                found.append({"chain": {"name": name, "policy": policy.lower()}})
            case ["-N", name]:
                found.append({"chain": {"name": name}})
            case ["-A", name, *rest]:
                found.append({"rule": {"chain": name, "expr": list(_expressions(rest, own))}})
    return found


def _expressions(words: list[str], own: set[str]) -> Iterator[Mapping[str, Any]]:
    """Of a rule, up to its target."""
    protocol = words[words.index("-p") + 1] if "-p" in words else ""
    rest, operator = iter(words), "=="
    for word in rest:
        if word == "!":
            operator = "!="
            continue
        if word in ("-j", "-g"):
            yield _target(word, next(rest), own)
            return
        yield from _asked(word, next(rest), operator, protocol) if word in _WITH_A_VALUE else [_UNKNOWN]
        operator = "=="


_WITH_A_VALUE = frozenset({"-p", "-i", "-o", "-m", "--comment", "--dport", "--ctstate", "--state"})


def _asked(option: str, value: str, operator: str, protocol: str) -> Iterator[Mapping[str, Any]]:
    match option:
        case "-p":
            yield _match({"meta": {"key": "l4proto"}}, operator, value)
        case "-i" | "-o":
            yield _match({"meta": {"key": _LINKS[option]}}, operator, value.replace("+", "*"))
        case "--dport":
            yield _match({"payload": {"protocol": protocol, "field": "dport"}}, operator, _ports(value))
        case "--ctstate" | "--state" if _STATES.issuperset(states := value.lower().split(",")):
            yield _match({"ct": {"key": "state"}}, operator.replace("==", "in"), states)
        case "--ctstate" | "--state":
            yield _UNKNOWN
        case "-m" if value not in _WITHOUT_A_QUESTION:
            yield _UNKNOWN


def _match(left: Mapping[str, Any], operator: str, right: object) -> Mapping[str, Any]:
    return {"match": {"left": left, "op": operator, "right": right}}


def _ports(text: str) -> object:
    first, _, last = text.partition(":")
    return {"range": [int(first), int(last)]} if last else int(first)


def _target(option: str, name: str, own: set[str]) -> Mapping[str, Any]:
    if name in own:
        return {"jump" if option == "-j" else "goto": {"target": name}}
    return {_VERDICTS[name]: None} if name in _VERDICTS else {"xt": {"type": "target", "name": name}}


def tables_here() -> dict[str, Objects]:
    """By program, those that are in use in the network namespace of the calling thread; none where it is not installed.

    Raises:
        Unavailable: the program does not tell.
    """
    return {
        program: listed(_run(path))
        for program, family in PROGRAMS.items()
        if _is_in_use(family) and (path := which(program)) is not None
    }


def _is_in_use(family: str) -> bool:
    try:
        return _TABLE in (_IN_USE / f"{family}_tables_names").read_text().split()
    except FileNotFoundError:  # the kernel has none of them
        return False


def _run(path: str) -> str:
    command = [path, "--wait", str(_SECONDS), "--table", _TABLE, "--list-rules"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * _SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{path} does not tell its rules: {error}") from error
    return done.stdout
