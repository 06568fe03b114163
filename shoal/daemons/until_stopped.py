"""A daemon's life: until its work ends, or a signal ends it."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def run_until_stopped(work: Coroutine[Any, Any, None], *, name: str) -> bool:
    """Run it until it ends, or until SIGTERM or SIGINT cancels it; whether it was cancelled. Raises what it raises.

    Args:
        name: of its task.
    """
    loop = asyncio.get_running_loop()
    running = loop.create_task(work, name=name)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return True
    return False
