"""Deletes what nothing needs any more: networks being removed, once the last task has left; versions of files.

Run by the leader alone, beside the planner.
"""

import asyncio
import logging
from collections.abc import Iterator

from manager.control_api import file_changes, networks, volumes
from manager.control_api.seams import Records
from manager.control_api.transactions import Step
from manager.files.nouns import NOUNS
from manager.store import kinds
from shoal.errors import Conflict, Timeout, Unavailable

_log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Between two looks: nobody waits for it, and looking may cost a pass over all tasks."""
_WAKING = frozenset(
    {
        kinds.TASK.name,
        kinds.SERVICE.name,
        kinds.NETWORK.name,
        kinds.TASK_STATUS.name,
        kinds.REVISION.name,
        kinds.SECRET.name,
        kinds.CONFIG.name,
        kinds.VOLUME.name,
        kinds.NODE_VOLUMES.name,
        kinds.VOLUME_STATUS.name,
    }
)


class Collector:
    """Looks again after each change that may let a network go."""

    def __init__(self, *, store: Records) -> None:
        self._store = store

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            Deposed: the term is over.
        """
        with self._store.follow() as changes:
            while True:
                await self._collect(fence)
                async for batch in changes:
                    if any(change.kind.name in _WAKING for change in batch):
                        break
                await asyncio.sleep(PAUSE_SECONDS)

    async def _collect(self, fence: int) -> None:
        try:
            unused = [step for noun in NOUNS for step in file_changes.collection(self._store, noun)]
            for step in (*emptied_networks(self._store), *unused, *volumes.emptied(self._store)):
                await self._store.commit(step.writes, expects=step.expects, fence=fence)
        except (Conflict, Unavailable, Timeout) as error:
            _log.info("clearing away is put off: %s", error)


def emptied_networks(store: Records) -> Iterator[Step]:
    """Networks that are being removed and have no task that still runs."""
    tables = store.tables
    for identifier, network in tables.networks.items():
        if network.removing and not networks.has_live_tasks(tables, identifier):
            yield Step(*networks.removal(store, network))
