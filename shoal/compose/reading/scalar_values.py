"""Parse scalar values of Compose: strings, numbers, lists or mappings."""

import shlex
from typing import Any

from shoal.compose.reading.canonical_forms import as_mapping
from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_bytes, parse_duration_ms


def command_words(value: Any) -> list[str]:
    """A command: a list as it is, a text split as a shell does (without running one)."""
    if value is None:
        return []
    if isinstance(value, list):
        return [str(part) for part in value]
    try:
        return shlex.split(str(value))
    except ValueError as error:
        raise InvalidInput(f"{value!r} is not a valid command: {error}") from None


def string_list(value: Any) -> list[str]:
    """One text or a list of them."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def string_mapping(value: Any) -> dict[str, str]:
    """Labels and similar mappings; a name without value has an empty one."""
    return {name: "" if item is None else scalar_text(item) for name, item in as_mapping(value or {}).items()}


def scalar_text(value: Any) -> str:
    """A single value as text, as YAML would write it: true, 1.5."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def parse_size(value: Any) -> int:
    """Bytes; a number is bytes already."""
    return value if isinstance(value, int) else parse_bytes(str(value))


def duration_ms(value: Any) -> int:
    """Milliseconds of "10s"."""
    return parse_duration_ms(str(value))


def parse_int(value: Any) -> int:
    """A whole number, written as one or as text."""
    try:
        return int(str(value))
    except ValueError:
        raise InvalidInput(f"{value!r} must be an integer") from None


def octal_digits(value: Any) -> str:
    """Permission bits as octal digits; YAML has read 0440 as an octal number already, and a text is octal too."""
    return f"{value:o}" if isinstance(value, int) else str(value).lower().removeprefix("0o")


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse_bool(value: Any) -> bool:
    """A boolean; interpolated variables are texts."""
    if isinstance(value, bool):
        return value
    try:
        return _TRUTHS[str(value).lower()]
    except KeyError:
        raise InvalidInput(f"{value!r} must be true or false") from None
