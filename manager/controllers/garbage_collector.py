"""Garbage collection: networks being removed without tasks, unreferenced file versions, volumes without data.

Run by the leader alone, beside the planner.
"""

import asyncio
import logging
from collections.abc import Iterator

from manager.controllers.record_triggers import wait_for_change
from manager.file_contents.file_kinds import FILE_KINDS
from manager.files import file_changes
from manager.networks import network_handler
from manager.records.write_groups import WriteGroup
from manager.store import kinds
from manager.store.record_store import RecordStore
from manager.volumes import volume_handler
from shoal.errors import Conflict, Timeout, Unavailable
from shoal.fault_points.injection import fault

_log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Between two runs: nothing waits for them, and each may cost a pass over all tasks."""
_TRIGGERS = frozenset(
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


class GarbageCollector:
    """Runs after each change that may make an object collectable, in the leader's term only."""

    def __init__(self, *, store: RecordStore) -> None:
        self._store = store

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            LeadershipLost: the term is over.
        """
        with self._store.follow() as changes:
            while True:
                succeeded = await self._collect(fence)
                await wait_for_change(changes, _TRIGGERS, succeeded=succeeded)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _collect(self, fence: int) -> bool:
        """Whether all was deleted that can be."""
        try:
            versions = [group for kind in FILE_KINDS for group in file_changes.unused_versions(self._store, kind)]
            for group in (*removable_networks(self._store), *versions, *volume_handler.removable_volumes(self._store)):
                await self._store.commit(group.writes, expects=group.expects, fence=fence)
                fault("manager.collect.records-deleted")
        except (Conflict, Unavailable, Timeout) as error:
            _log.info("garbage collection postponed: %s", error)
            return False
        return True


def removable_networks(store: RecordStore) -> Iterator[WriteGroup]:
    """Networks that are being removed and have no live task."""
    tables = store.tables
    for identifier, network in tables.networks.items():
        if network.removing and not network_handler.has_live_tasks(tables, identifier):
            yield WriteGroup(*network_handler.removal(store, network))
