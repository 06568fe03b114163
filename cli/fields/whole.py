"""Any message of the API as a record: all of its fields, by their names in capitals, set or not."""

import base64
from typing import Any

from google.protobuf.message import Message

from cli.go_template.values import Record
from cli.render.structure import MOMENT
from cli.render.tasks import timestamp
from cli.render.template import camel


def whole(message: Message) -> Record:
    """`MemoryBytes` of `memory_bytes`.

    States are as flags name them ("start-first"), moments RFC 3339 in UTC without the `_ms` of their names, parts that
    are not set nil.
    """
    return Record(dict(_item(field, message) for field in message.DESCRIPTOR.fields))


def _item(field: Any, message: Message) -> tuple[str, Any]:
    name, value = field.name, getattr(message, field.name)
    if MOMENT.search(name) and isinstance(value, int):
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
        return whole(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return "" if known is None or known.name.endswith("_UNSPECIFIED") else known.name.lower().replace("_", "-")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def identity(meta: Message) -> Record:
    """`ID`, `Version.Index`, `CreatedAt`, `UpdatedAt`."""
    made = whole(meta)
    return Record(made | {"Version": Record({"Index": made["Version"]})})
