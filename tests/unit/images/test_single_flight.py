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


def test_what_was_cancelled_ends_before_it_begins_anew() -> None:
    steps: list[str] = []

    async def scenario() -> None:
        flights, begun, go = SingleFlight[str, str](), asyncio.Event(), asyncio.Event()

        async def slow(_: Report) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await go.wait()
                steps.append("the first one has ended")
            return "first"

        async def again(_: Report) -> str:
            steps.append("another one begins")
            return "second"

        caller = asyncio.create_task(flights.run("layer", lambda _: None, slow))
        await begun.wait()
        caller.cancel()
        await asyncio.sleep(0)
        successors = [asyncio.create_task(flights.run("layer", lambda _: None, again)) for _ in range(2)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*successors) == ["second", "second"]
        await asyncio.wait([caller])
        assert caller.cancelled() and not flights.is_active

    asyncio.run(scenario())
    assert steps == ["the first one has ended", "another one begins"]
