"""Differences between two records, field by field. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from shoal.api.v1.control_pb2 import FieldChange

_LEFT_OUT = {"engine_request"}


def field_changes(before: Message, after: Message) -> list[FieldChange]:
    """Fields whose values differ, by path, values as JSON. Lists are compared whole.

    Requests that are kept for clients of the Engine API are left out: what they mean is in the other fields.
    """
    return [
        FieldChange(path=path, before=_text(old), after=_text(new))
        for path, old, new in _differing(_plain(before), _plain(after), "")
    ]


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _differing(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if before == after:
        return
    if not isinstance(before or {}, dict) or not isinstance(after or {}, dict):
        yield path, before, after
        return
    # A message that only one side has is reported field by field.
    old, new = before or {}, after or {}
    for key in sorted({*old, *new} - _LEFT_OUT):
        yield from _differing(old.get(key), new.get(key), f"{path}.{key}" if path else key)


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
