"""Removal of entries from a repeated field, for which protobuf has no method."""

from collections.abc import Callable, MutableSequence
from typing import TypeVar

E = TypeVar("E")


def remove_matching(entries: MutableSequence[E], matches: Callable[[E], bool]) -> bool:
    """Remove every matching entry; whether there was one. The others keep their order."""
    before = len(entries)
    for place in range(before - 1, -1, -1):
        if matches(entries[place]):
            del entries[place]
    return len(entries) < before
