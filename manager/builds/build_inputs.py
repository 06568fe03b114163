"""What is sent to the agent of a build: the caller's messages, and answers to its questions, as they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

from shoal.api.v1.builds_pb2 import AgentBuildInput, AgentBuildStart, BuildInput, ResolvedImage

_WAITING = 2
"""Messages that wait to be sent: the caller is read no faster than the agent."""


class BuildInputs:
    """The agent's input. For one event loop."""

    def __init__(self, start: AgentBuildStart, messages: AsyncIterator[BuildInput]) -> None:
        self._start = start
        self._messages = messages
        self._queue: asyncio.Queue[AgentBuildInput | None] = asyncio.Queue(_WAITING)

    async def answer(self, resolved: ResolvedImage) -> None:
        """Answer what the agent asked."""
        await self._queue.put(AgentBuildInput(resolved=resolved))

    async def stream(self) -> AsyncGenerator[AgentBuildInput]:
        """Until a caller has gone without an end of the context, else until it is closed."""
        yield AgentBuildInput(start=self._start)
        reading = asyncio.create_task(self._read(), name="input of a build")
        try:
            while (message := await self._queue.get()) is not None:
                yield message
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, Exception):  # the call of the caller tells it
                await reading

    async def _read(self) -> None:
        complete = False
        try:
            async for message in self._messages:
                await self._queue.put(AgentBuildInput(input=message))
                complete = complete or message.HasField("end_context")
        finally:
            if not complete:
                await self._queue.put(None)
