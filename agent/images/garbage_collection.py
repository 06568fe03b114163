"""Selects images for garbage collection. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageGcPolicy:
    """When to remove images.

    Attributes:
        low_fraction: fraction of the disk; nothing is removed while more is free.
        grace_seconds: an image that was requested within this time is kept: its task may not have started yet.
        partial_seconds: partial downloads that were not continued for this long are removed.
    """

    low_fraction: float = 0.15
    grace_seconds: float = 600.0
    partial_seconds: float = 86400.0


@dataclass(frozen=True)
class GcCandidate:
    """An image that may be removed; `target` is the digest of the index it was chosen from, or its own."""

    digest: str
    target: str
    last_used: float


def collectable(
    candidates: Iterable[GcCandidate], used: frozenset[str], now: float, policy: ImageGcPolicy
) -> tuple[str, ...]:
    """Digests of unused images, the least recently requested first."""
    free = [
        each
        for each in candidates
        if each.digest not in used and each.target not in used and each.last_used + policy.grace_seconds <= now
    ]
    return tuple(dict.fromkeys(each.digest for each in sorted(free, key=lambda each: (each.last_used, each.digest))))


def is_low_on_space(free_bytes: int, total_bytes: int, policy: ImageGcPolicy) -> bool:
    """Whether free disk space is below the threshold."""
    return free_bytes < total_bytes * policy.low_fraction
