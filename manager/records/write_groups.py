"""Groups of writes, committed in as few transactions as possible. Pure but for `commit_all`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from manager.interfaces import RecordStore
from manager.store.changes import Expect, Write

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


async def commit_all(store: RecordStore, steps: Sequence[WriteGroup]) -> None:
    """Make all steps: in one transaction when they fit, so that all or none are made."""
    for step in batched(steps, store.max_operations):
        await store.commit(step.writes, expects=step.expects)


def batched(steps: Iterable[WriteGroup], max_operations: int) -> Iterator[WriteGroup]:
    """Consecutive steps joined, as many as one transaction bears. A step is never cut.

    Args:
        max_operations: writes, or conditions, in one transaction.
    """
    batch: list[WriteGroup] = []
    writes = size = 0
    for step in steps:
        number = max(len(step.writes), len(step.expects))
        if batch and (writes + number > max_operations or size + step.size > TRANSACTION_BYTES):
            yield _joined(batch)
            batch, writes, size = [], 0, 0
        batch.append(step)
        writes += number
        size += step.size
    if batch:
        yield _joined(batch)


def _joined(steps: Sequence[WriteGroup]) -> WriteGroup:
    """Each record once, the last write of it (steps that touch the same network's name write the same)."""
    writes = {(write.kind.name, write.identifier): write for step in steps for write in step.writes}
    expects = dict.fromkeys(expect for step in steps for expect in step.expects)
    return WriteGroup(list(writes.values()), list(expects))
