"""Taking entries out of a repeated field, which protobuf has no call for."""

from collections.abc import Callable, MutableSequence
from typing import TypeVar

E = TypeVar("E")


def drop(entries: MutableSequence[E], unwanted: Callable[[E], bool]) -> bool:
    """Take out every entry that is unwanted; whether there was one. The others keep their order."""
    before = len(entries)
    for place in range(before - 1, -1, -1):
        if unwanted(entries[place]):
            del entries[place]
    return len(entries) < before
