"""Shared work that fails when nobody waits for it any more."""

import asyncio
import gc
from typing import Any

from agent.images.single_flight import SingleFlight
from agent.worker.interfaces import Report


def test_a_failure_after_the_last_caller_has_left_is_nobodys() -> None:
    complaints: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        started = asyncio.Event()

        async def work(_: Report) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise OSError("no space left")

        caller = asyncio.create_task(SingleFlight[str, None]().run("layer", lambda _: None, work))
        await started.wait()
        caller.cancel()
        await asyncio.wait([caller])
        assert caller.cancelled()
        del caller
        gc.collect()

    asyncio.run(scenario())
    gc.collect()
    assert complaints == []
