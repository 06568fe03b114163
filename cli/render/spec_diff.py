"""Differences between two specs, as field paths and as diff lines."""

from typing import Any

from google.protobuf.message import Message

from cli.render.documents import to_document, to_yaml
from cli.render.humanize import humanize, humanize_field
from shoal.api.v1.control_pb2 import FieldChange


def changed_paths(old: Message, new: Message) -> list[str]:
    """Paths of fields whose values differ, "task.container.image", sorted. Lists are compared whole."""
    return sorted(_differences(humanize(to_document(old)), humanize(to_document(new)), ""))


def _differences(old: Any, new: Any, path: str) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys((*old, *new))
        return [
            found for key in keys for found in _differences(_old_value(old, new, key), new.get(key), _join(path, key))
        ]
    return [path]


def _old_value(old: dict[str, Any], new: dict[str, Any], key: str) -> Any:
    # A part that is new as a whole is listed by its fields.
    return old.get(key, {} if isinstance(new.get(key), dict) else None)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def change_line(change: FieldChange) -> str:
    """ "task.limits.memory: 64 MiB -> 128 MiB"."""
    path, _, name = change.path.rpartition(".")
    before, after = (_formatted(name, text) for text in (change.before, change.after))
    shown = humanize_field(name, 0)[0]
    return f"{path}.{shown}: {before} -> {after}" if path else f"{shown}: {before} -> {after}"


def _formatted(name: str, text: str) -> str:
    """A value that is JSON; 64-bit numbers are texts in it (JSON mapping of protobuf)."""
    if not text:
        return "(none)"
    digits = text.strip('"')
    return (
        str(humanize_field(name, int(digits))[1])
        if digits.lstrip("-").isdecimal() and humanize_field(name, 0)[0] != name
        else text
    )


def lines_of(message: Message) -> list[str]:
    """The message as YAML lines."""
    return to_yaml(to_document(message)).splitlines()
