"""Docker's container ids of Shoal's ids, and back: 64 hexadecimal digits, of which any beginning names one. Pure.

An id of Shoal is 13 characters of base32, 65 bits. They are the first 17 digits, aligned to the left; 47 digits of
SHA-256 over the id follow, so that no index is needed in either direction, and the first 12 digits, which Docker's
clients show, are as random as Docker's own.
"""

import re
from functools import lru_cache

from shoal.ids import ALPHABET, LENGTH, is_id

try:
    # As Python's own `random` does: `hashlib` loads OpenSSL, a twentieth of the time that `shoal run` takes.
    from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # from Python 3.12 on
    from hashlib import sha256

DIGITS = 64
"""Of a container id."""
SHORT_DIGITS = 12
"""Of the form that Docker's clients show."""

_ID_BITS = 5 * LENGTH
_ID_DIGITS = -(-_ID_BITS // 4)
_PADDING_BITS = 4 * _ID_DIGITS - _ID_BITS
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_HEXADECIMAL = re.compile(r"[0-9a-f]{1,64}")


@lru_cache(maxsize=1 << 16)
def container_id(identifier: str) -> str:
    """The container id of an object's id, 64 hexadecimal digits.

    Raises:
        ValueError: it is no id.
    """
    if not is_id(identifier):
        raise ValueError(f"{identifier!r} is no id")
    number = 0
    for character in identifier:
        number = number << 5 | _VALUES[character]
    head = format(number << _PADDING_BITS, f"0{_ID_DIGITS}x")
    tail: str = sha256(identifier.encode()).hexdigest()
    return head + tail[: DIGITS - _ID_DIGITS]


def short_container_id(identifier: str) -> str:
    """The first 12 digits, by which a container is also known on its networks."""
    return container_id(identifier)[:SHORT_DIGITS]


def object_id(container: str) -> str | None:
    """The object's id that a whole container id is of; None if it is that of no object."""
    if len(container) != DIGITS or not is_beginning(container):
        return None
    identifier = _decoded(container)
    return identifier if container_id(identifier) == container else None


def _decoded(digits: str) -> str:
    number = int(digits[:_ID_DIGITS], 16) >> _PADDING_BITS
    return "".join(ALPHABET[number >> shift & 31] for shift in range(_ID_BITS - 5, -1, -5))


def new_exec_id(task_id: str, random: bytes) -> str:
    """An id for a program in a task's container: the digits of the task, and those of 24 random bytes."""
    return container_id(task_id)[:_ID_DIGITS] + random.hex()[: DIGITS - _ID_DIGITS]


def task_of_exec(exec_id: str) -> str | None:
    """The task that an id of `new_exec_id` is of; None if it is that of no task."""
    if len(exec_id) != DIGITS or not is_beginning(exec_id):
        return None
    identifier = _decoded(exec_id)
    return identifier if container_id(identifier)[:_ID_DIGITS] == exec_id[:_ID_DIGITS] else None


def is_beginning(text: str) -> bool:
    """Whether it may be the beginning of a container id: 1 to 64 hexadecimal digits, in lower case."""
    return _HEXADECIMAL.fullmatch(text) is not None
