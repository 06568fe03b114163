"""Identifiers: 13 characters of lower-case Crockford base32, 65 random bits.

A million tasks collide with a chance of about 1 in 70 million, and a creation compares that its key is new, so even
that would be an error, never an object overwritten.
"""

import os
import re
from collections.abc import Callable

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 13
PATTERN = re.compile(rf"[{ALPHABET}]{{{LENGTH}}}")

PREFIX_LENGTH = 6
"""Of the shortest beginning of an id that is taken for one. Fewer characters are as easily a name: among a thousand ids
there is one that begins with "db" in two of three cases, with a given word of six letters in one of a million."""

NewId = Callable[[], str]
"""Where decision code gets its ids: passed in, so that tests are repeatable."""


def new_id() -> str:
    """A random id from the operating system's generator."""
    return os.urandom(LENGTH).translate(_CHARACTERS).decode()


_CHARACTERS = ALPHABET.encode() * (256 // len(ALPHABET))
"""The character of each byte, each of them as often as any other."""


def is_id(text: str) -> bool:
    """Whether it has the form of an id; says nothing of the object's existence."""
    return PATTERN.fullmatch(text) is not None


def may_begin_id(text: str) -> bool:
    """Whether ids that begin so are meant by it, where no object has it as its name."""
    return len(text) >= PREFIX_LENGTH
