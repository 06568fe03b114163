"""Evaluates whether other programs' nftables chains accept a packet, as far as their rules can be read. Pure.

Rules have the form of libnftables-json(5). Matches that cannot be evaluated here (named sets, iptables extensions,
marks) may be true or false: a packet counts as dropped only where it is dropped in every case.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any

MAX_JUMPS = 16
"""The kernel's limit of nested chains (NFT_JUMP_STACK_SIZE)."""

RulesetListing = Sequence[Mapping[str, Any]]
"""A table's listing."""


@dataclass(frozen=True)
class Packet:
    """What is known of a packet.

    Attributes:
        description: for the user.
        fields: by their names in rules: of `meta`, of `ct`, and of payloads, such as "udp dport".
    """

    description: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class PacketVerdict(Enum):
    """The verdict of a chain on a packet."""

    ACCEPTED = auto()
    DROPPED = auto()
    CONTINUED = auto()
    """Evaluation continues behind the jump, or with the policy."""


def drops(objects: RulesetListing, chain: str, packet: Packet) -> bool:
    """Whether a base chain certainly drops the packet."""
    found = chain_verdict(objects, chain, packet)
    return found is PacketVerdict.DROPPED or (found is PacketVerdict.CONTINUED and policy(objects, chain) == "drop")


def policy(objects: RulesetListing, chain: str) -> str:
    """The policy of a base chain; empty where it has none."""
    return next((str(entry["chain"].get("policy", "")) for entry in objects if _is_chain(entry, chain)), "")


def chain_verdict(objects: RulesetListing, chain: str, packet: Packet) -> PacketVerdict:
    """The verdict of a chain's rules; DROPPED only when certain, ACCEPTED when possible."""
    rules: dict[str, list[Sequence[Mapping[str, Any]]]] = {}
    for entry in objects:
        if "rule" in entry:
            rules.setdefault(entry["rule"]["chain"], []).append(_expressions(entry["rule"]))
    return _ChainEvaluator(rules, packet).evaluate_chain(chain, MAX_JUMPS)


def _expressions(rule: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The expressions of a rule; of iptables extensions only the connection state is known, from the rule's text."""
    found = list(rule.get("expr", ()))
    state = _CT_STATE.search(rule.get("text", ""))
    for place, expression in enumerate(found):
        extension = expression.get("xt", {})
        if state is not None and (extension.get("type"), extension.get("name")) in _CT_STATE_EXTENSIONS:
            match = {"left": {"ct": {"key": "state"}}, "op": "!=" if state[1] else "in", "right": state[2].split(",")}
            found[place] = {"match": match}
    return found


_CT_STATE = re.compile(r"\bct state (!= )?([a-z,]+)")
_CT_STATE_EXTENSIONS = (("match", "conntrack"), ("match", "state"))


def _is_chain(entry: Mapping[str, Any], name: str) -> bool:
    return "chain" in entry and bool(entry["chain"]["name"] == name)


class _ChainEvaluator:
    def __init__(self, rules: Mapping[str, Iterable[Sequence[Mapping[str, Any]]]], packet: Packet) -> None:
        self._rules = rules
        self._packet = packet

    def evaluate_chain(self, chain: str, jumps: int) -> PacketVerdict:
        """The verdict of a chain; ACCEPTED when possible."""
        if not jumps:
            return PacketVerdict.ACCEPTED
        for expressions in self._rules.get(chain, ()):
            verdict = self._evaluate_rule(expressions, jumps)
            if verdict is not None:
                return verdict
        return PacketVerdict.CONTINUED

    def _evaluate_rule(self, expressions: Sequence[Mapping[str, Any]], jumps: int) -> PacketVerdict | None:
        """The verdict of a rule; None where evaluation continues with the next one."""
        certain = True
        for expression in expressions:
            kind, body = next(iter(expression.items()))
            if kind == "match":
                answer = matches(body, self._packet.fields)
                if answer is False:
                    return None
                certain &= answer is True
            elif kind == "vmap":
                return self._evaluate_vmap(body, jumps)
            elif (verdict := self._evaluate_statement(kind, body, jumps)) is not None:
                # A packet that this rule only may drop may also continue.
                return verdict if certain or verdict is PacketVerdict.ACCEPTED else None
            elif kind in _VERDICT_STATEMENTS:
                return None
            elif kind not in _NON_TERMINAL and not _is_other_target(kind, body):
                certain = False
        return None

    def _evaluate_statement(self, kind: str, body: Any, jumps: int) -> PacketVerdict | None:
        if kind in ("jump", "goto"):
            verdict = self.evaluate_chain(body["target"], jumps - 1)
            return None if verdict is PacketVerdict.CONTINUED and kind == "jump" else verdict
        if kind == "xt" and body.get("type") == "target":
            return {
                "REJECT": PacketVerdict.DROPPED,
                "DROP": PacketVerdict.DROPPED,
                "ACCEPT": PacketVerdict.ACCEPTED,
            }.get(body.get("name"))
        return _TERMINAL_VERDICTS.get(kind)

    def _evaluate_vmap(self, body: Mapping[str, Any], jumps: int) -> PacketVerdict | None:
        known = self._packet.fields.get(_field_name(body.get("key", {})))
        data = body.get("data")
        pairs = data.get("set", ()) if isinstance(data, Mapping) else ()
        verdicts = [verdict for key, verdict in pairs if known is None or _contains(known, key) is not False]
        verdicts_found = [
            self._evaluate_statement(kind, to, jumps) for verdict in verdicts for kind, to in verdict.items()
        ]
        if known is None or not pairs or PacketVerdict.ACCEPTED in verdicts_found:
            return PacketVerdict.ACCEPTED if not pairs or PacketVerdict.ACCEPTED in verdicts_found else None
        return verdicts_found[0] if verdicts_found else None


_TERMINAL_VERDICTS = {
    "accept": PacketVerdict.ACCEPTED,
    "drop": PacketVerdict.DROPPED,
    "reject": PacketVerdict.DROPPED,
    "return": PacketVerdict.CONTINUED,
}
_VERDICT_STATEMENTS = frozenset({"jump", "goto", *_TERMINAL_VERDICTS})
_NON_TERMINAL = frozenset({"counter", "log", "mangle", "notrack", "ct helper", "flow"})
"""Statements after which the rule continues, whatever the packet."""


def _is_other_target(kind: str, body: Any) -> bool:
    return kind == "xt" and bool(body.get("type") == "target")


def matches(body: Mapping[str, Any], fields: Mapping[str, Any]) -> bool | None:
    """Whether a match is true of the packet; None where that is not known."""
    name = _field_name(body["left"])
    known = fields.get(name)
    if known is None:
        return _match_by_protocol(name, fields)
    answer = _contains(known, body["right"])
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


def _match_by_protocol(name: str, fields: Mapping[str, Any]) -> bool | None:
    """A match on another protocol's header is false."""
    protocol, _, rest = name.partition(" ")
    own = fields.get("l4proto")
    if rest and own is not None and protocol in ("tcp", "udp", "sctp", "icmp", "icmpv6", "dccp") and protocol != own:
        return False
    return None


def _field_name(left: Any) -> str:
    """The name of the field that a match reads; empty for all but the simple cases."""
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


def _contains(known: Any, right: Any) -> bool | None:
    """Whether the value equals the right side, or is contained in it."""
    if isinstance(right, Mapping):
        if "set" in right:
            return _any_known(_contains(known, each) for each in right["set"])
        if "range" in right and isinstance(known, int):
            low, high = right["range"]
            return low <= known <= high if isinstance(low, int) and isinstance(high, int) else None
        return None
    if isinstance(right, list):
        return _any_known(_contains(known, each) for each in right)
    if isinstance(right, str):
        return None if right.startswith("@") else right == "*" or fnmatchcase(str(known), right)
    return bool(known == right)


def _any_known(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    if True in known:
        return True
    return None if None in known else False
