"""Placement constraints: `key == value` and `key != value` over what is known of a node.

Keys: `node.id`, `node.hostname`, `node.ip` (an address, or a network such as 10.1.0.0/16), `node.platform.os`,
`node.platform.arch`, `node.labels.<name>` (set by users), `engine.labels.<name>` (told by the agent).
A label that a node does not have equals no value.
"""

import ipaddress
import re
from dataclasses import dataclass

from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.errors import InvalidInput

_FORM = re.compile(r"\s*(?P<key>[A-Za-z0-9][A-Za-z0-9._/-]*)\s*(?P<operator>==|!=)\s*(?P<value>\S(?:.*\S)?)\s*")
_LABELS = ("node.labels.", "engine.labels.")
_FACTS = ("node.id", "node.hostname", "node.ip", "node.platform.os", "node.platform.arch")


@dataclass(frozen=True)
class Constraint:
    """One parsed expression; `str()` gives it in its usual form."""

    key: str
    equal: bool
    value: str

    def __str__(self) -> str:
        return f"{self.key} {'==' if self.equal else '!='} {self.value}"

    def admits(self, node: Node, status: NodeStatus) -> bool:
        """Whether a task may be placed on the node as far as this constraint goes."""
        return self._matches(fact(self.key, node, status)) == self.equal

    def _matches(self, found: str | None) -> bool:
        if found is None or self.key != "node.ip":
            return found == self.value
        try:
            return ipaddress.ip_address(found) in ipaddress.ip_network(self.value, strict=False)
        except ValueError:  # the agent told no address
            return False


def fact(key: str, node: Node, status: NodeStatus) -> str | None:
    """What the node has under a key; None for a label that it does not have."""
    description = status.description
    match key:
        case "node.id":
            return node.meta.id
        case "node.hostname":
            return description.hostname
        case "node.ip":
            return description.address
        case "node.platform.os":
            return description.platform.os
        case "node.platform.arch":
            return description.platform.architecture
    if key.startswith("node.labels."):
        return node.spec.labels.get(key.removeprefix("node.labels."))
    return description.engine_labels.get(key.removeprefix("engine.labels."))


def parse_key(text: str) -> str:
    """Check a key alone, as spread preferences have it.

    Raises:
        InvalidInput: no such key.
    """
    if text in _FACTS or any(text.startswith(prefix) and len(text) > len(prefix) for prefix in _LABELS):
        return text
    known = ", ".join([*_FACTS, "node.labels.<name>", "engine.labels.<name>"])
    raise InvalidInput(f"unknown key {text!r}; known are {known}")


def parse(text: str) -> Constraint:
    """Read one expression.

    Raises:
        InvalidInput: it has another form, an unknown key, or a value that its key cannot have.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is not of the form KEY == VALUE or KEY != VALUE")
    constraint = Constraint(parse_key(match["key"]), match["operator"] == "==", match["value"])
    if constraint.key == "node.ip":
        try:
            ipaddress.ip_network(constraint.value, strict=False)
        except ValueError:
            raise InvalidInput(f"{text!r}: {constraint.value!r} is neither an IP address nor a network") from None
    return constraint
