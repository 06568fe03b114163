"""Whole objects as YAML for people and as JSON for programs."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cli.render.humanize import EnumName, humanize
from cli.render.task_rows import timestamp

TIMESTAMP_FIELD = re.compile(r"(?:^|_)(?:at|since|until|start_by|due)_ms$|^drain_deadline_ms$")
"""Names of fields that are moments."""
_LEFT_OUT = {"engine_request"}
"""Requests of other clients, kept for these: what they mean is in the other fields."""


def to_document(message: Message) -> dict[str, Any]:
    """The fields that are set, as plain values, by their names in the .proto files.

    Numbers are numbers, enumerations their names, bytes base64; moments become RFC 3339 in UTC and lose their `_ms`.
    Requests that are kept for clients of the Engine API are left out.
    """
    return dict(_item(field, value) for field, value in message.ListFields() if field.name not in _LEFT_OUT)


def _item(field: FieldDescriptor, value: Any) -> tuple[str, Any]:
    if TIMESTAMP_FIELD.search(field.name) and isinstance(value, int):
        return field.name.removesuffix("_ms"), timestamp(value)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        values = field.message_type.fields_by_name["value"]
        return field.name, {str(key): _plain(values, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return field.name, [_plain(field, each) for each in value]
    return field.name, _plain(field, value)


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return to_document(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return EnumName(known.name) if known is not None else value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def print_documents(documents: Sequence[Mapping[str, Any]], *, form: str) -> None:
    """Print documents: YAML one by one, with amounts as people write them; one JSON array of bare numbers; or a
    template's text for each.
    """
    if form not in ("table", "json"):
        from cli.render.format_template import document_record, print_template

        print_template(form, map(document_record, documents))
        return
    if form == "json":
        click.echo(json.dumps(list(documents), indent=2))
        return
    if not documents:
        return
    click.echo(to_yaml(*documents).rstrip())


def to_yaml(*documents: Mapping[str, Any]) -> str:
    """The documents for people."""
    import yaml

    class LineByLine(yaml.SafeDumper):
        """Texts of several lines, as certificates, are shown as they are."""

    LineByLine.add_representer(str, _represent_text)
    text: str = yaml.dump_all(map(humanize, documents), Dumper=LineByLine, sort_keys=False, allow_unicode=True)
    return text


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text.strip("\n") else None)
