"""Untrusted JSON, parsed to an object that the rest can rely on. Pure."""

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
    except RecursionError as error:
        raise InvalidInput(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise InvalidInput(f"{what} is not JSON: {error or type(error).__name__}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{what} is not a JSON object")
    return document


def text_of(section: Mapping[str, object], key: str, what: str) -> str:
    """A text in an object; empty where it is left out or null, as Go's JSON takes it.

    Args:
        what: for the error: "the image's configuration".
    Raises:
        InvalidInput: it is of another type, or holds a zero character, which no program can be given.
    """
    value = section.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise InvalidInput(f"{what} has a {key} that is not a string")
    return value


def texts_of(section: Mapping[str, object], key: str, what: str) -> tuple[str, ...]:
    """A list of texts. Raises as `text_of` does."""
    value = section.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
        raise InvalidInput(f"{what} has a {key} that is not a list of strings")
    return tuple(value)


def object_of(section: Mapping[str, object], key: str, what: str) -> Mapping[str, object]:
    """An object in an object. Raises as `text_of` does."""
    value = section.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or any("\0" in name for name in value):
        raise InvalidInput(f"{what} has a {key} that is not an object")
    return value


def number_of(section: Mapping[str, object], key: str, what: str, *, below: int) -> int:
    """A whole number from 0 to less than `below`; 0 where it is left out; `true` is none. Raises as `text_of` does."""
    value = section.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
        raise InvalidInput(f"{what} has a {key} that is not a number from 0 to {below - 1}")
    return value
