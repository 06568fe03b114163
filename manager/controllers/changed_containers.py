"""Examines containers that changed, again until it succeeds: what controllers of containers share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Never

from manager.store.changes import Change
from manager.store.record_store import RecordStore
from manager.store.tables import View

RETRY_SECONDS = 1.0
"""After a commit that failed."""

Affected = Callable[[View, tuple[Change, ...]], Iterable[str]]
"""Ids of the containers that changes may concern."""

Examine = Callable[[Iterable[str]], Awaitable[list[str]]]
"""Handle these containers; returns those for which that failed."""


async def follow_containers(store: RecordStore, affected: Affected, examine: Examine) -> Never:
    """Examine all containers, then those that changes concern, and those that failed. Until cancelled.

    Raises:
        LeadershipLost: the term is over (by `examine`).
    """
    with store.follow() as changes:
        failed = await examine([*store.tables.containers])
        while True:
            batch: tuple[Change, ...] = ()
            try:
                async with asyncio.timeout(RETRY_SECONDS if failed else None):
                    batch = await anext(changes)
            except TimeoutError:
                pass
            failed = await examine([*failed, *affected(store.tables, batch)])
