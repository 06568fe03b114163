"""Notations of instructions' arguments: JSON arrays, `name=value` words, words at blanks. Pure."""

import json
import re
from collections.abc import Iterator

from shoal.dockerfile.instructions import Command, Variable
from shoal.errors import InvalidInput

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_DECODER = json.JSONDecoder()


def json_words(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None: it is no JSON, and the text is in shell form."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value, end = _DECODER.raw_decode(text.strip())
    except (ValueError, RecursionError):
        return None
    if text.strip()[end:].strip() or not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return None
    return tuple(value)


def command(text: str) -> Command:
    """Exec form or shell form."""
    words = json_words(text)
    return Command((text,), is_shell=True) if words is None else Command(words, is_shell=False)


def words(text: str) -> tuple[str, ...]:
    """A JSON array, else words at blanks; quotes mean nothing in these."""
    listed = json_words(text)
    return plain_words(text) if listed is None else listed


def plain_words(text: str) -> tuple[str, ...]:
    """Words at blanks."""
    return tuple(filter(None, _BLANKS.split(text.strip())))


def quoted_words(text: str, escape: str) -> Iterator[str]:
    """Words at blanks that are neither quoted nor escaped; quotes and escapes stay in them."""
    word: list[str] = []
    quote = ""
    characters = iter(text)
    for character in characters:
        if character == escape and quote != "'":
            word.append(character + next(characters, ""))
        elif quote:
            word.append(character)
            quote = "" if character == quote else quote
        elif character.isspace():
            if word:
                yield "".join(word)
                word.clear()
        else:
            quote = character if character in "'\"" else ""
            word.append(character)
    if word:
        yield "".join(word)


def assignments(text: str, instruction: str, escape: str) -> tuple[tuple[Variable, ...], bool]:
    """`a=1 b=2`, or the old form `a 1`; and whether it is the old one.

    Raises:
        InvalidInput: a value or a name is missing.
    """
    found = list(quoted_words(text, escape))
    if not found:
        raise InvalidInput(f"{instruction} requires at least one argument")
    if "=" not in found[0]:
        name, *value = _BLANKS.split(text.strip(), 1)
        if not value:
            raise InvalidInput(f"{instruction} must have two arguments")
        return (Variable(name, value[0]),), True
    return tuple(_assignment(word, instruction) for word in found), False


def _assignment(word: str, instruction: str) -> Variable:
    name, equals, value = word.partition("=")
    if not equals:
        raise InvalidInput(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
    if not name.strip("'\""):
        raise InvalidInput(f"{instruction} names can not be blank")
    return Variable(name, value)
