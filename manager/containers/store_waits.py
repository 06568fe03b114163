"""Waiting until the records say something, by following the store: nothing that is written meanwhile is missed."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from manager.store.subscription import Subscription
from manager.store.tables import View
from shoal.errors import Timeout

T = TypeVar("T")


async def wait_on(
    changes: Subscription, view: View, evaluate: Callable[[View], T | None], *, seconds: float | None, what: str
) -> T:
    """What `evaluate` says once it says anything.

    Args:
        changes: a subscription that is older than what is waited for.
        seconds: how long to wait at most; None: for as long as the caller does.
        what: for the error, "container db has not started".

    Raises:
        Timeout: it said nothing in time. Whatever `evaluate` raises.
    """
    try:
        async with asyncio.timeout(seconds):
            while (found := evaluate(view)) is None:
                await anext(changes)
            return found
    except TimeoutError:
        raise Timeout(f"{what} within {seconds:g} s") from None
