"""Where a container is to be, in the notations of classic Swarm: variables and labels of a creation request. Pure.

Docker's clients have no field for it. `constraint:node==h1`, `affinity:container==db` and `reschedule:on-node-failure`
are taken out of the environment; the labels `com.docker.swarm.constraints`, `.affinities` and `.reschedule-policies`
are JSON lists of the same without the word before the colon. `==~` and `!=~` are preferences, which are not followed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.protocol.errors import bad_request
from engine.translate.object_ids import reference
from shoal.api.v1.standalone_pb2 import ContainerDefinition, Reschedule

PUBLISH_LABEL = "shoal.publish"
"""`node`: ports are published on the container's own node alone."""

_LABELS = {
    "com.docker.swarm.constraints": "constraint",
    "com.docker.swarm.affinities": "affinity",
    "com.docker.swarm.reschedule-policies": "reschedule",
}
_EXPRESSION = re.compile(r"([a-z0-9_.-]+)\s*(==|!=)\s*(~?)(\S+)", re.IGNORECASE)
_KEYS = {"node": "node.hostname", "operatingsystem": "node.platform.os", "architecture": "node.platform.arch"}
_RESCHEDULES = {"on-node-failure": Reschedule.ON_NODE_FAILURE, "off": Reschedule.STAY}


@dataclass
class PlacementHints:
    """What a request says of places.

    Attributes:
        environment: without the hints.
        warnings: preferences that are not followed, one line each.
    """

    environment: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    near: list[str] = field(default_factory=list)
    reschedule: Reschedule.ValueType = Reschedule.RESCHEDULE_UNSPECIFIED
    publish_on_node: bool = False
    warnings: list[str] = field(default_factory=list)

    def apply(self, definition: ContainerDefinition) -> None:
        """Put them into a definition, apart from the environment."""
        definition.task.placement.constraints.extend(self.constraints)
        definition.beside.extend(self.near)
        definition.reschedule = self.reschedule
        definition.publish_on_node = self.publish_on_node


def read_hints(environment: list[str], labels: Mapping[str, str]) -> PlacementHints:
    """
    Raises:
        ApiError: 400, a hint cannot be honoured.
    """
    hints = PlacementHints(publish_on_node=labels.get(PUBLISH_LABEL) == "node")
    for entry in environment:
        kind, sign, text = entry.partition(":")
        if sign and kind in _LABELS.values() and ("=" in text or kind == "reschedule"):
            _add(hints, kind, text)
        else:
            hints.environment.append(entry)
    for label, kind in _LABELS.items():
        for text in _list(label, labels.get(label, "")):
            _add(hints, kind, text)
    return hints


def is_hint(entry: str) -> bool:
    """Whether a variable is a hint."""
    kind, sign, text = entry.partition(":")
    return bool(sign) and kind in _LABELS.values() and ("=" in text or kind == "reschedule")


def _add(hints: PlacementHints, kind: str, text: str) -> None:
    if kind == "reschedule":
        if text not in _RESCHEDULES:
            raise bad_request(f"invalid reschedule policy {text!r}: must be one of {', '.join(_RESCHEDULES)}")
        hints.reschedule = _RESCHEDULES[text]
        return
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise bad_request(f"invalid {kind} {text!r}: must be in the form KEY==VALUE or KEY!=VALUE")
    key, sign, soft, value = match.groups()
    if soft:
        hints.warnings.append(f"{kind}:{text} is a preference, which is not followed")
    elif kind == "constraint":
        name = _KEYS.get(key.lower(), key if key.startswith(("node.", "engine.")) else f"engine.labels.{key}")
        hints.constraints.append(f"{name} {sign} {value}")
    elif key.lower() == "container" and sign == "==":
        hints.near.append(reference(value))
    else:
        raise bad_request(f"affinity {text!r} is not supported: only container==NAME is")


def _list(label: str, text: str) -> list[str]:
    if not text:
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise bad_request(f"label {label} must be a JSON list of strings")
    return found
