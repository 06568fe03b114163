"""JSON texts, and messages as documents. Pure."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def encode(document: object) -> str:
    """JSON without blanks."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def message_document(message: Message) -> dict[str, Any]:
    """A message as JSON: enums by name, 64-bit numbers as texts, names of fields as in the schema."""
    return MessageToDict(message, preserving_proto_field_name=True)
