"""Whole objects: as YAML for people, as JSON for programs; both straight from the protobuf messages."""

import json
from collections.abc import Sequence
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from cli.render.tasks import timestamp


def to_document(message: Message) -> dict[str, Any]:
    """A message as plain values, field names as in the .proto files.

    64-bit numbers become numbers again (JSON mapping of protobuf makes texts of them), `…_ms` moments become RFC 3339.
    """
    document: dict[str, Any] = _plain(MessageToDict(message, preserving_proto_field_name=True), "")
    return document


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {_title(key): _plain(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, name) for item in value]
    if isinstance(value, str) and _is_number(name) and value.lstrip("-").isdigit():
        number = int(value)
        return timestamp(number) if name.endswith("_at_ms") else number
    return value


def _is_number(name: str) -> bool:
    return name.endswith(
        ("_ms", "_bytes", "_cpus", "version", "revision", "pids", "_update", "run", "soft", "hard", "number")
    )


def _title(name: str) -> str:
    return name.removesuffix("_ms") if name.endswith("_at_ms") else name


def show_document(documents: Sequence[dict[str, Any]], *, form: str) -> None:
    """Print documents: YAML one after the other, or one JSON array."""
    if form == "json":
        click.echo(json.dumps(list(documents), indent=2))
        return
    if not documents:
        return
    import yaml

    click.echo(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True).rstrip())
