"""Many changes as one transaction where they fit, else as several, in order. Pure but for `commit_all`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from manager.control_api import bounds
from manager.control_api.seams import Records
from manager.store.changes import Expect, Write


@dataclass(frozen=True)
class Step:
    """Writes that belong together, with their conditions."""

    writes: Sequence[Write]
    expects: Sequence[Expect]

    @property
    def size(self) -> int:
        """Bytes, about."""
        return sum(64 + (write.value.ByteSize() if write.value is not None else 0) for write in self.writes)


async def commit_all(store: Records, steps: Sequence[Step]) -> None:
    """Make all steps: in one transaction when they fit, so that all or none are made."""
    for step in packed(steps, store.max_operations):
        await store.commit(step.writes, expects=step.expects)


def packed(steps: Iterable[Step], most: int) -> Iterator[Step]:
    """Consecutive steps joined, as many as one transaction bears. A step is never cut.

    Args:
        most: writes, or conditions, in one transaction.
    """
    batch: list[Step] = []
    writes = size = 0
    for step in steps:
        number = max(len(step.writes), len(step.expects))
        if batch and (writes + number > most or size + step.size > bounds.TRANSACTION_BYTES):
            yield _joined(batch)
            batch, writes, size = [], 0, 0
        batch.append(step)
        writes += number
        size += step.size
    if batch:
        yield _joined(batch)


def _joined(steps: Sequence[Step]) -> Step:
    """Each record once, the last write of it (steps that touch the same network's name write the same)."""
    writes = {(write.kind.name, write.identifier): write for step in steps for write in step.writes}
    expects = dict.fromkeys(expect for step in steps for expect in step.expects)
    return Step(list(writes.values()), list(expects))
