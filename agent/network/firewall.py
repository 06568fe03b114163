"""Whether other programs' chains let a packet pass, as far as their rules tell that. Pure.

Rules are those of libnftables-json(5). What they ask of a packet that is not known here (sets by name, extensions of
iptables, marks) may be so or not: a packet is taken to be dropped only where it is whatever the answers are.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any

MOST_JUMPS = 16
"""The kernel's own bound of chains within chains (NFT_JUMP_STACK_SIZE)."""

Objects = Sequence[Mapping[str, Any]]
"""A table's listing."""


@dataclass(frozen=True)
class Packet:
    """What is known of a packet.

    Attributes:
        what: in words, for the user.
        fields: by their names in rules: of `meta`, of `ct`, and of payloads as "udp dport".
    """

    what: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class Fate(Enum):
    """What becomes of a packet in a chain."""

    ACCEPTED = auto()
    DROPPED = auto()
    RETURNED = auto()
    """It goes on behind the jump, or by the policy."""


def drops(objects: Objects, chain: str, packet: Packet) -> bool:
    """Whether a base chain drops the packet for certain."""
    found = fate(objects, chain, packet)
    return found is Fate.DROPPED or (found is Fate.RETURNED and policy(objects, chain) == "drop")


def policy(objects: Objects, chain: str) -> str:
    """Of a base chain, empty where it has none."""
    return next((str(entry["chain"].get("policy", "")) for entry in objects if _is_chain(entry, chain)), "")


def fate(objects: Objects, chain: str, packet: Packet) -> Fate:
    """What becomes of the packet by the rules of a chain; DROPPED only for certain, ACCEPTED where it may be."""
    rules: dict[str, list[Sequence[Mapping[str, Any]]]] = {}
    for entry in objects:
        if "rule" in entry:
            rules.setdefault(entry["rule"]["chain"], []).append(_expressions(entry["rule"]))
    return _Walk(rules, packet).through(chain, MOST_JUMPS)


def _expressions(rule: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Of a rule; of iptables' extensions the state of connections is known, by its text."""
    found = list(rule.get("expr", ()))
    said = _STATES.search(rule.get("text", ""))
    for place, expression in enumerate(found):
        extension = expression.get("xt", {})
        if said is not None and (extension.get("type"), extension.get("name")) in _OF_STATES:
            match = {"left": {"ct": {"key": "state"}}, "op": "!=" if said[1] else "in", "right": said[2].split(",")}
            found[place] = {"match": match}
    return found


_STATES = re.compile(r"\bct state (!= )?([a-z,]+)")
_OF_STATES = (("match", "conntrack"), ("match", "state"))


def _is_chain(entry: Mapping[str, Any], name: str) -> bool:
    return "chain" in entry and bool(entry["chain"]["name"] == name)


class _Walk:
    def __init__(self, rules: Mapping[str, Iterable[Sequence[Mapping[str, Any]]]], packet: Packet) -> None:
        self._rules = rules
        self._packet = packet

    def through(self, chain: str, jumps: int) -> Fate:
        """The fate in a chain; ACCEPTED where it may be."""
        if not jumps:
            return Fate.ACCEPTED
        for expressions in self._rules.get(chain, ()):
            fate = self._of_rule(expressions, jumps)
            if fate is not None:
                return fate
        return Fate.RETURNED

    def _of_rule(self, expressions: Sequence[Mapping[str, Any]], jumps: int) -> Fate | None:
        """The fate of the packet by this rule, None where it goes on with the next one."""
        certain = True
        for expression in expressions:
            kind, body = next(iter(expression.items()))
            if kind == "match":
                answer = matches(body, self._packet.fields)
                if answer is False:
                    return None
                certain &= answer is True
            elif kind == "vmap":
                return self._by_map(body, jumps)
            elif (fate := self._of_verdict(kind, body, jumps)) is not None:
                # What only may be dropped here may go on as well.
                return fate if certain or fate is Fate.ACCEPTED else None
            elif kind in _VERDICTS:
                return None
            elif kind not in _PASSING and not _is_passing_extension(kind, body):
                certain = False
        return None

    def _of_verdict(self, kind: str, body: Any, jumps: int) -> Fate | None:
        if kind in ("jump", "goto"):
            fate = self.through(body["target"], jumps - 1)
            return None if fate is Fate.RETURNED and kind == "jump" else fate
        if kind == "xt" and body.get("type") == "target":
            return {"REJECT": Fate.DROPPED, "DROP": Fate.DROPPED, "ACCEPT": Fate.ACCEPTED}.get(body.get("name"))
        return _FATES.get(kind)

    def _by_map(self, body: Mapping[str, Any], jumps: int) -> Fate | None:
        known = self._packet.fields.get(_name(body.get("key", {})))
        data = body.get("data")
        pairs = data.get("set", ()) if isinstance(data, Mapping) else ()
        verdicts = [verdict for key, verdict in pairs if known is None or _among(known, key) is not False]
        fates = [self._of_verdict(kind, to, jumps) for verdict in verdicts for kind, to in verdict.items()]
        if known is None or not pairs or Fate.ACCEPTED in fates:
            return Fate.ACCEPTED if not pairs or Fate.ACCEPTED in fates else None
        return fates[0] if fates else None


_FATES = {"accept": Fate.ACCEPTED, "drop": Fate.DROPPED, "reject": Fate.DROPPED, "return": Fate.RETURNED}
_VERDICTS = frozenset({"jump", "goto", *_FATES})
_PASSING = frozenset({"counter", "log", "mangle", "notrack", "ct helper", "flow"})
"""Statements after which the rule goes on, whatever the packet."""


def _is_passing_extension(kind: str, body: Any) -> bool:
    return kind == "xt" and bool(body.get("type") == "target")


def matches(body: Mapping[str, Any], fields: Mapping[str, Any]) -> bool | None:
    """Whether a match is true of the packet; None where that is not known."""
    name = _name(body["left"])
    known = fields.get(name)
    if known is None:
        return _by_protocol(name, fields)
    answer = _among(known, body["right"])
    compare = _COMPARISONS.get(body.get("op", "=="))
    if compare is not None and isinstance(known, int) and isinstance(body["right"], int):
        return compare(known, body["right"])
    if body.get("op") == "!=":
        return None if answer is None else not answer
    return answer if body.get("op", "==") in ("==", "in") else None


_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def _by_protocol(name: str, fields: Mapping[str, Any]) -> bool | None:
    """A question about another protocol's header is answered by no."""
    protocol, _, rest = name.partition(" ")
    own = fields.get("l4proto")
    if rest and own is not None and protocol in ("tcp", "udp", "sctp", "icmp", "icmpv6", "dccp") and protocol != own:
        return False
    return None


def _name(left: Any) -> str:
    """Of what a match looks at, empty for anything else than the simple cases."""
    if not isinstance(left, Mapping):
        return ""
    if "meta" in left:
        return str(left["meta"]["key"])
    if "ct" in left and "dir" not in left["ct"]:
        return "ct " + str(left["ct"]["key"])
    payload = left.get("payload", {})
    if "field" not in payload:
        return ""
    if payload["field"] == "protocol" or (payload["protocol"], payload["field"]) == ("ip6", "nexthdr"):
        return "l4proto"
    return f"{payload['protocol']} {payload['field']}"


def _among(known: Any, right: Any) -> bool | None:
    """Whether the value is the other one, or in it."""
    if isinstance(right, Mapping):
        if "set" in right:
            return _any(_among(known, each) for each in right["set"])
        if "range" in right and isinstance(known, int):
            low, high = right["range"]
            return low <= known <= high if isinstance(low, int) and isinstance(high, int) else None
        return None
    if isinstance(right, list):
        return _any(_among(known, each) for each in right)
    if isinstance(right, str):
        return None if right.startswith("@") else right == "*" or fnmatchcase(str(known), right)
    return bool(known == right)


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    if True in known:
        return True
    return None if None in known else False
