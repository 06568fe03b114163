"""The mover of volumes while this manager leads: has one node copy from the other, then changes the home.

All that has to survive is in the store and on the nodes' disks. A new leader begins with the same step again, and the
nodes with what is not there yet.
"""

import asyncio
import logging

from manager.control_api.seams import NowMs
from manager.store import kinds
from manager.volume_mover.decide import needs_mover
from manager.volume_mover.steps import LOOK_SECONDS, Agents, MovesOfVolume, Records
from shoal.errors import Conflict, Exhausted, Timeout, Unavailable
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)


class VolumeMover:
    """Ends moves, and is the only writer of `VolumeStatus.moves`. One volume at a time has one step under way."""

    def __init__(self, *, store: Records, agents: Agents, now_ms: NowMs) -> None:
        self._store = store
        self._agents = agents
        self._now_ms = now_ms
        self._tended: set[str] = set()

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Args:
            fence: the term's number.
        Raises:
            Deposed: the term is over.
        """
        self._tended.clear()
        with self._store.follow() as changes:
            due = {volume_id for volume_id in self._store.tables.volumes if self._is_concerned(volume_id)}
            async with TaskGroup() as group:
                while True:
                    for volume_id in due - self._tended:
                        self._tended.add(volume_id)
                        group.create_task(self._tend(volume_id, fence), name=f"moves of volume {volume_id}")
                    found = {each.identifier for each in await anext(changes) if each.kind.name == kinds.VOLUME.name}
                    due = {volume_id for volume_id in found if self._is_concerned(volume_id)}

    def _is_concerned(self, volume_id: str) -> bool:
        volume = self._store.tables.volumes.get(volume_id)
        return volume is not None and needs_mover(volume, self._store.tables.volume_status.get(volume_id))

    async def _tend(self, volume_id: str, fence: int) -> None:
        """One volume, until there is nothing to do for it."""
        work = MovesOfVolume(volume_id, self._store, self._agents, self._now_ms, fence)
        try:
            while self._is_concerned(volume_id):
                try:
                    await work.step()
                except (Conflict, Exhausted, Timeout, Unavailable) as error:
                    _log.warning("what comes next of volume %s was not written: %s", volume_id, error)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._tended.discard(volume_id)
