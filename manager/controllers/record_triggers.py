"""Waits for changes of some kinds of records: what controllers share that examine everything after each of them."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from manager.store.subscription import Subscription

RETRY_SECONDS = 1.0
"""After a run in which a write failed: nothing else may change for hours."""


async def wait_for_change(changes: Subscription, kinds: Collection[str], *, succeeded: bool) -> None:
    """Until a record of one of these kinds changes; after a run that did not succeed `RETRY_SECONDS` at most.

    Args:
        kinds: their names.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(None if succeeded else RETRY_SECONDS):
            async for batch in changes:
                if any(change.kind.name in kinds for change in batch):
                    return
