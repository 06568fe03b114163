"""JSON of strangers: parsed to an object that the rest can rely on. Pure."""

import json
from collections.abc import Mapping

from shoal.errors import InvalidInput


def parse_object(content: bytes, what: str) -> Mapping[str, object]:
    """A JSON object of which every text can be written as UTF-8: `\\ud800` alone is no character (RFC 8259, 8.2).

    Args:
        what: for the error: "the manifest".
    Raises:
        InvalidInput: it is none, or nested deeper than anybody needs.
    """
    try:
        document = json.loads(content)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not JSON: {error or type(error).__name__}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{what} is not a JSON object")
    return document
