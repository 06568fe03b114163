"""Raises the cluster's state format once every manager reads the next one; each manager keeps it in a file too."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from manager.store.changes import expect, put
from manager.store.kinds import STATE_FORMAT
from manager.store.record_store import RecordStore
from manager.upgrades.state_formats import check_records, next_format, written_format
from shoal.api.v1.cluster_pb2 import StateFormat
from shoal.errors import Conflict, Timeout, Unavailable
from shoal.state_format import save_format, this_release

CHECK_SECONDS = 5.0

_log = logging.getLogger(__name__)


class FormatController:
    """Of one manager.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(self, *, store: RecordStore, state_directory: Path, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._directory = state_directory
        self._now_ms = now_ms

    async def lead(self, fence: int) -> None:
        """What the leader does, until cancelled. Raises LeadershipLost: the term is over."""
        while True:
            try:
                await self.raise_format(fence)
            except (Conflict, Timeout, Unavailable) as error:
                _log.warning("cannot write the cluster's state format; retrying: %s", error)
            await asyncio.sleep(CHECK_SECONDS)

    async def raise_format(self, fence: int) -> None:
        """Write the number that all managers read, if it is higher than the cluster's.

        Raises:
            As `RecordStore.commit`.
        """
        tables = self._store.tables
        current = written_format(tables).number
        number = next_format(current, tables.registered_managers)
        if number == current:
            return
        version = self._store.version_of(STATE_FORMAT, "")
        record = StateFormat(number=number, release=this_release(), since_ms=self._now_ms())
        await self._store.commit(
            [put(STATE_FORMAT, "", record)], expects=[expect(STATE_FORMAT, "", version)], fence=fence
        )
        _log.info("the cluster's state has format %d from now on; older releases cannot run it any more", number)

    async def keep_file(self) -> None:
        """On every manager: keep the file in the state directory as the record is, until cancelled.

        Raises:
            WrongRelease: managers of a newer release have taken the records beyond what this one reads, which they do
                only once this one is removed from the cluster.
        """
        while True:
            check_records(self._store.tables)
            try:
                save_format(self._directory, written_format(self._store.tables))
            except Unavailable as error:
                _log.error("%s", error)
            await asyncio.sleep(CHECK_SECONDS)
