"""Groups of writes, committed in as few transactions as possible. Pure but for `commit_all`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from manager.store.changes import Expect, Write
from manager.store.record_store import RecordStore

TRANSACTION_BYTES = 1_000_000
"""Of values in one transaction of the store, with room for the keys."""


@dataclass(frozen=True)
class WriteGroup:
    """Writes that are committed together, with their conditions."""

    writes: Sequence[Write]
    expects: Sequence[Expect]

    @property
    def size(self) -> int:
        """Bytes, about."""
        return sum(64 + (write.value.ByteSize() if write.value is not None else 0) for write in self.writes)


async def commit_all(store: RecordStore, groups: Sequence[WriteGroup]) -> None:
    """Commit all groups: in one transaction if they fit, so that all or none are committed."""
    for group in batched(groups, store.max_operations):
        await store.commit(group.writes, expects=group.expects)


def batched(groups: Iterable[WriteGroup], max_operations: int) -> Iterator[WriteGroup]:
    """Consecutive groups joined, as many as one transaction can hold. A group is never split.

    Args:
        max_operations: writes, or conditions, in one transaction.
    """
    batch: list[WriteGroup] = []
    writes = size = 0
    for group in groups:
        number = max(len(group.writes), len(group.expects))
        if batch and (writes + number > max_operations or size + group.size > TRANSACTION_BYTES):
            yield _joined(batch)
            batch, writes, size = [], 0, 0
        batch.append(group)
        writes += number
        size += group.size
    if batch:
        yield _joined(batch)


def _joined(groups: Sequence[WriteGroup]) -> WriteGroup:
    """Each record once, the last write of it (groups that touch the same network's name write the same)."""
    writes = {(write.kind.name, write.identifier): write for group in groups for write in group.writes}
    expects = dict.fromkeys(expect for group in groups for expect in group.expects)
    return WriteGroup(list(writes.values()), list(expects))
