"""WatchCluster: nodes, services, containers and tasks as they are, then what changes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from itertools import islice

from manager.cluster.change_batch import ChangeBatch
from manager.store import kinds
from manager.store.changes import Change
from manager.store.record_store import RecordReader
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ClusterChanges, WatchClusterRequest
from shoal.errors import InvalidInput
from shoal.rpc.caller import Caller

DEFAULT_INTERVAL_MS = 50
MAX_INTERVAL_MS = 10_000
OBJECTS_IN_RESPONSE = 500
"""Some 5 ms of work: other calls get their turn between two responses."""


class ClusterFeed:
    """Streams the cluster to consoles. A client that reads slowly gets less often what has changed meanwhile, once.

    Args:
        store: the records.
    """

    def __init__(self, *, store: RecordReader) -> None:
        self._store = store

    async def watch(self, request: WatchClusterRequest, caller: Caller) -> AsyncGenerator[ClusterChanges, None]:
        """Everything, then changes, forever.

        Raises:
            InvalidInput: the interval is out of range.
        """
        interval_ms = request.interval_ms or DEFAULT_INTERVAL_MS
        if interval_ms > MAX_INTERVAL_MS:
            raise InvalidInput(f"interval_ms: {interval_ms} is out of range; the maximum is {MAX_INTERVAL_MS}")
        view = self._store.tables
        with self._store.follow() as changes:
            for response in _snapshot(view):
                yield response
                await asyncio.sleep(0)
            async for batch in _at_intervals(changes, interval_ms / 1000):
                changed = ChangeBatch(view)
                changed.add(batch)
                changed.add(changes.pending_changes())
                for response in changed.responses(OBJECTS_IN_RESPONSE):
                    yield response
                    await asyncio.sleep(0)


async def _at_intervals(
    batches: AsyncIterable[tuple[Change, ...]], seconds: float
) -> AsyncGenerator[tuple[Change, ...], None]:
    """The batches, so far apart at least: the first after a pause comes at once."""
    now, earliest = asyncio.get_running_loop().time, 0.0
    async for batch in batches:
        if (wait := earliest - now()) > 0:
            await asyncio.sleep(wait)
        yield batch
        earliest = now() + seconds


def _snapshot(view: View) -> Iterator[ClusterChanges]:
    """What there is, in parts; tasks last, since the others give them names. The last part says that it is complete.

    Records that are gone when their part is made are left out: the change follows.
    """
    tables: Mapping[str, Mapping[str, object]] = {
        kinds.NODE.name: view.nodes,
        kinds.SERVICE.name: view.services,
        kinds.CONTAINER.name: view.containers,
        kinds.TASK.name: view.tasks,
    }
    for kind, rows in tables.items():
        for identifiers in _parts(list(rows), OBJECTS_IN_RESPONSE):
            part = ChangeBatch(view)
            part.add_existing(kind, identifiers)
            yield from part.responses(OBJECTS_IN_RESPONSE)
    yield ClusterChanges(complete=True)


def _parts(items: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
