"""Values of Compose in their several forms: lists or mappings, texts or numbers."""

import shlex
from typing import Any

from cli.compose.forms import named
from cli.render.units import parse_bytes, parse_duration_ms
from shoal.errors import InvalidInput


def words(value: Any) -> list[str]:
    """A command: a list as it is, a text split as a shell does (without running one)."""
    if value is None:
        return []
    if isinstance(value, list):
        return [str(part) for part in value]
    try:
        return shlex.split(str(value))
    except ValueError as error:
        raise InvalidInput(f"{value!r} cannot be split into words: {error}") from None


def texts(value: Any) -> list[str]:
    """One text or a list of them."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def pairs(value: Any) -> dict[str, str]:
    """Labels and the like; a name without value has an empty one."""
    return {name: "" if item is None else scalar(item) for name, item in named(value or {}).items()}


def scalar(value: Any) -> str:
    """A single value as text, as YAML would write it: true, 1.5."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def size(value: Any) -> int:
    """Bytes; a number is bytes already."""
    return value if isinstance(value, int) else parse_bytes(str(value))


def duration_ms(value: Any) -> int:
    """Milliseconds of "10s"."""
    return parse_duration_ms(str(value))


def number(value: Any) -> int:
    """A whole number, written as one or as text."""
    try:
        return int(str(value))
    except ValueError:
        raise InvalidInput(f"{value!r} is not a whole number") from None


def octal(value: Any) -> str:
    """Permission bits as octal digits; YAML has read 0440 as an octal number already, and a text is octal too."""
    return f"{value:o}" if isinstance(value, int) else str(value).lower().removeprefix("0o")


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def truth(value: Any) -> bool:
    """A truth value; variables make texts of them."""
    if isinstance(value, bool):
        return value
    try:
        return _TRUTHS[str(value).lower()]
    except KeyError:
        raise InvalidInput(f"{value!r} is neither true nor false") from None
