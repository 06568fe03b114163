"""Revisions that never begin anew: etcd's own plus an offset, which each restoration and recovery raises. Pure: no I/O.

An etcd that was restored counts from 1 again, and one that was recovered continues where its last member was. Without
the offset a version that was read before would name another content later.
"""

from collections.abc import Iterable

from manager.store.backend import Compare, CompareTarget
from shoal.api.v1.cluster_pb2 import Epoch

REVISIONS_PER_MS = 100
"""More than etcd commits: its own benchmarks have some 50,000 writes a second."""
LEAST_STEP = 1_000_000_000
"""The least that a restoration adds, since clocks differ; etcd's documentation has the same for `--bump-revision`."""
NEVER = -1
"""A revision that no key has."""


def next_offset(revision: int, at_ms: int, now_ms: int) -> int:
    """The offset of a new epoch: no revision of a former one has come so far.

    Args:
        revision: one of the former epoch's, its offset included, which it had not exceeded at `at_ms`.
        at_ms, now_ms: milliseconds since the Unix epoch.
    """
    return revision + LEAST_STEP + REVISIONS_PER_MS * max(0, now_ms - at_ms)


def offset_of(epochs: Iterable[Epoch]) -> int:
    """The cluster's offset; 0 before there is a cluster."""
    return max((each.revision_offset for each in epochs), default=0)


def in_etcd(revision: int, offset: int) -> int:
    """etcd's own revision; 0 (an absent key's, or "now") stays 0, and one of a former epoch is `NEVER`."""
    if revision > offset:
        return revision - offset
    return NEVER if revision else 0


def compare_in_etcd(compare: Compare, offset: int) -> Compare:
    """The same condition on etcd's own revisions."""
    if compare.target is CompareTarget.MODIFIED_AFTER:
        return compare._replace(revision=max(0, compare.revision - offset))
    return compare._replace(revision=in_etcd(compare.revision, offset))
