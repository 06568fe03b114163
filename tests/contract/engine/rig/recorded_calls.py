"""Conversations of docker 28.2.2 with a real engine, and how documents are compared with them.

`recorded/docker_cli_28_2_2.json` has each kind of request once, with lists cut to two entries.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "recorded" / "docker_cli_28_2_2.json"

MAPS = frozenset(
    {
        "Annotations", "Attributes", "Containers", "DriverOpts", "ExposedPorts", "Labels", "Networks", "Options",
        "PortBindings", "Ports", "Runtimes", "Sysctls", "Tmpfs", "Volumes", "IndexConfigs", "stats", "networks",
    }
)  # fmt: skip
"""Keys of objects whose own keys are data, at least in one place."""


@dataclass(frozen=True)
class RecordedCall:
    """One request and its answer.

    Attributes:
        name: of the conversation: "24-inspect".
        headers: names of the answer's headers.
        response: the document; of a stream of them `{"lines": […]}`; None where it is no JSON.
    """

    name: str
    method: str
    path: str
    status: int
    request: dict[str, Any] | None
    headers: tuple[str, ...]
    content_type: str
    response: Any


def recorded_calls() -> list[RecordedCall]:
    """All of them, in their order."""
    return [RecordedCall(**{**each, "headers": tuple(each["headers"])}) for each in json.loads(FILE.read_text())]


def recorded(name: str, path: str = "", method: str = "") -> RecordedCall:
    """The call of a conversation whose path contains this."""
    return next(
        each for each in recorded_calls() if each.name == name and path in each.path and method in ("", each.method)
    )


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """How the shape of a document differs from the recorded one: keys, and types of values.

    Values are not compared; of lists the first entries are.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        yield from _object_differences(theirs, ours, path)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if theirs and ours:
            yield from differences(theirs[0], ours[0], f"{path}[]")
    elif _kind(theirs) != _kind(ours):
        yield f"{path}: {_kind(theirs)} recorded, {_kind(ours)} here"


def _object_differences(theirs: dict[str, Any], ours: dict[str, Any], path: str) -> Iterator[str]:
    if path.rpartition(".")[2] in MAPS or path.endswith("LogConfig.Config"):
        if theirs and ours:
            yield from differences(next(iter(theirs.values())), next(iter(ours.values())), f"{path}.*")
        return
    for key in theirs.keys() - ours.keys():
        yield f"{path}.{key}: missing"
    for key in ours.keys() - theirs.keys():
        yield f"{path}.{key}: not recorded"
    for key in theirs.keys() & ours.keys():
        yield from differences(theirs[key], ours[key], f"{path}.{key}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    kinds = {str: "string", list: "list", dict: "object"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "null")
