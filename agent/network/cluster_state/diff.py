"""The difference between two states. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", covariant=True)
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Diff(Generic[T]):
    """What a change removes and adds. An entry that stays as it is is in neither; one that changes is in both."""

    removed: T
    added: T


def mapping_diff(before: Mapping[Key, Value], after: Mapping[Key, Value]) -> Diff[dict[Key, Value]]:
    """The entries of each side that the other one lacks, or has with another value."""
    return Diff(_missing_in(after, before), _missing_in(before, after))


def _missing_in(other: Mapping[Key, Value], entries: Mapping[Key, Value]) -> dict[Key, Value]:
    return {key: value for key, value in entries.items() if other.get(key) != value}
