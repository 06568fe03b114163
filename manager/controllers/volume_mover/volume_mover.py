"""Moves local volumes on the leader: has the target node copy the data, then changes the home node.

All state is in the store and on the nodes' disks. A new leader repeats the same step, and the nodes continue with what
is missing.
"""

import asyncio
import logging

from manager.controllers.volume_mover.move_runner import POLL_SECONDS, MoveRunner, VolumeAgents
from manager.controllers.volume_mover.next_move_step import has_work
from manager.interfaces import NowMs
from manager.store import kinds
from manager.store.record_store import RecordStore
from shoal.errors import Conflict, Exhausted, Timeout, Unavailable
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)


class VolumeMover:
    """Executes moves, and is the only writer of `VolumeStatus.moves`. Each volume has one step in progress at most."""

    def __init__(self, *, store: RecordStore, agents: VolumeAgents, now_ms: NowMs) -> None:
        self._store = store
        self._agents = agents
        self._now_ms = now_ms
        self._running: set[str] = set()

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Args:
            fence: the term's number.
        Raises:
            LeadershipLost: the term is over.
        """
        self._running.clear()
        with self._store.follow() as changes:
            due = {volume_id for volume_id in self._store.tables.volumes if self._has_work(volume_id)}
            async with TaskGroup() as group:
                while True:
                    for volume_id in due - self._running:
                        self._running.add(volume_id)
                        group.create_task(self._run_moves(volume_id, fence), name=f"moves of volume {volume_id}")
                    found = {each.identifier for each in await anext(changes) if each.kind.name == kinds.VOLUME.name}
                    due = {volume_id for volume_id in found if self._has_work(volume_id)}

    def _has_work(self, volume_id: str) -> bool:
        volume = self._store.tables.volumes.get(volume_id)
        return volume is not None and has_work(volume, self._store.tables.volume_status.get(volume_id))

    async def _run_moves(self, volume_id: str, fence: int) -> None:
        """Execute the moves of one volume until there is nothing left to do."""
        work = MoveRunner(volume_id, self._store, self._agents, self._now_ms, fence)
        try:
            while self._has_work(volume_id):
                try:
                    await work.step()
                except (Conflict, Exhausted, Timeout, Unavailable) as error:
                    _log.warning("cannot write the next step of volume %s: %s", volume_id, error)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._running.discard(volume_id)
