"""Any API message as a record with all of its fields in CamelCase, set or not."""

import base64
from typing import Any

from google.protobuf.message import Message

from cli.go_template.template_values import FieldRecord
from cli.render.documents import TIMESTAMP_FIELD
from cli.render.format_template import camel
from cli.render.task_rows import timestamp


def all_fields(message: Message) -> FieldRecord:
    """`MemoryBytes` of `memory_bytes`.

    States are as flags name them ("start-first"), moments RFC 3339 in UTC without the `_ms` of their names, parts that
    are not set nil.
    """
    return FieldRecord(dict(_item(field, message) for field in message.DESCRIPTOR.fields))


def _item(field: Any, message: Message) -> tuple[str, Any]:
    name, value = field.name, getattr(message, field.name)
    if TIMESTAMP_FIELD.search(name) and isinstance(value, int):
        return camel(name.removesuffix("_ms")), timestamp(value)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        values = field.message_type.fields_by_name["value"]
        return camel(name), {str(key): _plain(values, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return camel(name), [_plain(field, each) for each in value]
    if field.has_presence and not message.HasField(name):
        return camel(name), None
    return camel(name), _plain(field, value)


def _plain(field: Any, value: Any) -> Any:
    if isinstance(value, Message):
        return all_fields(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return "" if known is None or known.name.endswith("_UNSPECIFIED") else known.name.lower().replace("_", "-")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def meta_fields(meta: Message) -> FieldRecord:
    """`ID`, `Version.Index`, `CreatedAt`, `UpdatedAt`."""
    made = all_fields(meta)
    return FieldRecord(made | {"Version": FieldRecord({"Index": made["Version"]})})
