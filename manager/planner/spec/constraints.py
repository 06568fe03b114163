"""Placement constraints: expressions over the attributes of a node.

    KEY == VALUE        KEY != VALUE
    KEY in A, B, C      KEY not-in A, B, C
    KEY > NUMBER        KEY < NUMBER       also >= and <=; for labels, whose values have to be numbers then
    KEY =~ PATTERN      KEY !~ PATTERN     a regular expression (`linear_regex`), also written /PATTERN/

Keys: `node.id`, `node.hostname`, `node.ip` (values are addresses, or networks such as 10.1.0.0/16), `node.platform.os`,
`node.platform.arch`, `node.role` (`manager` where a manager runs on the same host, else `worker`), `node.labels.<name>`
(set by users), `engine.labels.<name>` (reported by the agent when it joined). What is recorded of a node's identity
applies, whatever its agent reports later: see `manager.node_identity`.
A label that a node does not have equals no value, is in no list, is not greater or less, and matches no pattern.
"""

import ipaddress
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from manager.planner.spec.linear_regex import Pattern
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.errors import InvalidInput

MAX_LENGTH = 1_000
"""Characters of an expression."""

_SYNTAX = re.compile(
    r"\s*(?P<key>[A-Za-z0-9][A-Za-z0-9._/-]*)\s*"
    r"(?P<operator>==|!=|=~|!~|>=|<=|>|<|(?<=\s)(?:in|not-in|not\s+in)(?=[\s(]))\s*(?P<value>\S.*)"
)
_LABELS = ("node.labels.", "engine.labels.")
_ATTRIBUTES = ("node.id", "node.hostname", "node.ip", "node.platform.os", "node.platform.arch", "node.role")
_ROLES = ("manager", "worker")
_OPERATORS = "==, !=, in, not-in, >, <, >=, <=, =~ or !~"
_INVERSE = {"!=": "==", "not-in": "in", "!~": "=~"}


@dataclass(frozen=True)
class Constraint:
    """One parsed expression; `str()` gives it in its usual form.

    Attributes:
        values: one, or those of a list.
        pattern: of `=~` and `!~`.
    """

    key: str
    operator: str
    values: tuple[str, ...]
    pattern: Pattern | None = None

    def __str__(self) -> str:
        return f"{self.key} {self.operator} {', '.join(self.values)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraint) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash((self.key, self.operator, self.values))

    def matches(self, node: Node, status: NodeStatus) -> bool:
        """Whether a task may be placed on the node as far as this constraint goes."""
        found = node_attribute(self.key, node, status)
        if self.operator in _INVERSE:
            return found is None or not self._holds(_INVERSE[self.operator], found)
        return found is not None and self._holds(self.operator, found)

    def _holds(self, operator: str, found: str) -> bool:
        if self.pattern is not None:
            return self.pattern.matches(found)
        if operator in ("==", "in"):
            return _is_within(found, self.values) if self.key == "node.ip" else found in self.values
        actual, bound = _number(found), _number(self.values[0])
        if actual is None or bound is None:
            return False
        return {">": actual > bound, "<": actual < bound, ">=": actual >= bound, "<=": actual <= bound}[operator]


def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # the agent reported no address
        return False
    return any(found in ipaddress.ip_network(network, strict=False) for network in networks)


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def role(status: NodeStatus) -> str:
    """What `node.role` is compared with."""
    return "manager" if status.colocated_manager_id else "worker"


def node_attribute(key: str, node: Node, status: NodeStatus) -> str | None:
    """The node's value of a key; None for a label that it does not have."""
    about = node.spec.identity if node.spec.HasField("identity") else status.description
    match key:
        case "node.id":
            return node.meta.id
        case "node.hostname":
            return about.hostname
        case "node.ip":
            return about.address
        case "node.platform.os":
            return about.platform.os
        case "node.platform.arch":
            return about.platform.architecture
        case "node.role":
            return role(status)
    if key.startswith("node.labels."):
        return node.spec.labels.get(key.removeprefix("node.labels."))
    return about.engine_labels.get(key.removeprefix("engine.labels."))


def parse_key(text: str) -> str:
    """Check a key alone, as of a spread preference.

    Raises:
        InvalidInput: the key is unknown.
    """
    if text in _ATTRIBUTES or any(text.startswith(prefix) and len(text) > len(prefix) for prefix in _LABELS):
        return text
    known = ", ".join([*_ATTRIBUTES, "node.labels.<name>", "engine.labels.<name>"])
    raise InvalidInput(f"unknown key {text!r}; must be one of {known}")


@lru_cache(maxsize=4096)
def parse(text: str) -> Constraint:
    """Parse one expression.

    Raises:
        InvalidInput: a wrong form, an unknown key, or a value that its key or operator cannot have.
    """
    match = _SYNTAX.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise InvalidInput(
            f"{text[:100]!r} must be in the form KEY OPERATOR VALUE; the operator is one of {_OPERATORS}"
        )
    key, operator, value = parse_key(match["key"]), match["operator"], match["value"].rstrip()
    if operator.startswith("not"):
        operator = "not-in"
    if operator in ("=~", "!~"):
        value = value[1:-1] if len(value) > 1 and value[0] == value[-1] == "/" else value
        return Constraint(key, operator, (value,), Pattern(value))
    values = _list(text, value) if operator in ("in", "not-in") else (value,)
    if operator in (">", "<", ">=", "<="):
        _check_ordered(text, key, value)
    if key == "node.ip":
        _check_networks(text, values)
    if key == "node.role" and (unknown := next((each for each in values if each not in _ROLES), None)) is not None:
        raise InvalidInput(f"{text!r}: {unknown!r} must be one of {', '.join(_ROLES)}")
    return Constraint(key, operator, values)


def _list(text: str, value: str) -> tuple[str, ...]:
    if value[0] == "(" and value[-1] == ")":
        value = value[1:-1]
    values = tuple(part.strip() for part in value.split(","))
    if not all(values):
        raise InvalidInput(f"{text!r}: a list must be in the form A, B, C")
    return values


def _check_ordered(text: str, key: str, value: str) -> None:
    if not key.startswith(_LABELS):
        raise InvalidInput(f"{text!r}: {key} cannot be compared with <, >, <= or >=; only labels can")
    if _number(value) is None:
        raise InvalidInput(f"{text!r}: {value!r} must be a number")


def _check_networks(text: str, values: tuple[str, ...]) -> None:
    for value in values:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise InvalidInput(f"{text!r}: {value!r} must be an IP address or a network such as 10.1.0.0/16") from None
