"""Flags of instructions: `--name=value` before the arguments. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shoal.errors import InvalidInput

_BLANKS = " \t\v\f\r\n"
_MAX_FLAGS = 256
_BOOLEANS = {"": True, "true": True, "1": True, "false": False, "0": False}


def split_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The flags at the beginning of an instruction's arguments, unquoted, and the rest. `--` ends them."""
    flags: list[str] = []
    rest = text.lstrip(_BLANKS)
    while rest.startswith("--"):
        word, rest = _take_word(rest, escape)
        rest = rest.lstrip(_BLANKS)
        if word == "--":
            break
        flags.append(word)
    return tuple(flags), rest


def _take_word(text: str, escape: str) -> tuple[str, str]:
    """The first word without its quotes and escapes, and what follows it."""
    parts: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        character = text[at]
        if character == escape:
            at += 1
            parts.append(text[at : at + 1])
        elif quote:
            parts.append("" if character == quote else character)
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _BLANKS:
            break
        else:
            parts.append(character)
        at += 1
    return "".join(parts), text[at:]


class FlagKind(NamedTuple):
    """What a flag takes: nothing but true or false, one value, or several of them."""

    is_boolean: bool = False
    repeats: bool = False


class FlagValues:
    """Flags of one instruction.

    Raises:
        InvalidInput: a flag is unknown, is given twice, or lacks its value.
    """

    def __init__(self, flags: Sequence[str], known: Mapping[str, FlagKind]) -> None:
        if len(flags) > _MAX_FLAGS:
            raise InvalidInput(f"has {len(flags)} flags; the maximum is {_MAX_FLAGS}")
        self._values: dict[str, list[str]] = {}
        for flag in flags:
            name, has_value, value = flag.removeprefix("--").partition("=")
            kind = known.get(name)
            if kind is None:
                raise InvalidInput(f"unknown flag: --{name}{_suggestion(known)}")
            if not has_value and not kind.is_boolean:
                raise InvalidInput(f"missing a value on flag: --{name}")
            if name in self._values and not kind.repeats:
                raise InvalidInput(f"duplicate flag specified: --{name}")
            if kind.is_boolean and value.lower() not in _BOOLEANS:
                raise InvalidInput(f"expecting boolean value for flag --{name}, not {value!r}")
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """The value of a flag."""
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a flag that repeats."""
        return tuple(self._values.get(name, ()))

    def boolean(self, name: str) -> bool | None:
        """Whether a flag is on; None: it is not given."""
        values = self._values.get(name)
        return None if values is None else _BOOLEANS[values[0].lower()]


def _suggestion(known: Mapping[str, FlagKind]) -> str:
    return (
        f"; the instruction has {', '.join(f'--{name}' for name in known)}" if known else "; the instruction has none"
    )
