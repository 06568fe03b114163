"""JSON as answers have it. Pure."""

import json


def encoded(document: object) -> bytes:
    """The document without blanks, in UTF-8; what is no text of Unicode is replaced."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
