"""What is sent to the agent of a build: the caller's messages, and answers to its questions, as they come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from shoal.api.v1.builds_pb2 import AgentBuildInput, AgentBuildStart, BuildInput, ResolvedImage

_WAITING = 2
"""Messages that wait to be sent: the caller is read no faster than the agent."""


class BuildInputs:
    """The agent's input, in messages until a caller has gone without an end of the context. For one event loop.

    An asynchronous context manager: in it the caller is read, and with it the messages end. They are no generator: gRPC
    leaves one suspended when a call ends.
    """

    def __init__(self, start: AgentBuildStart, messages: AsyncIterator[BuildInput]) -> None:
        self._messages = messages
        self._queue: asyncio.Queue[AgentBuildInput | None] = asyncio.Queue(_WAITING)
        self._queue.put_nowait(AgentBuildInput(start=start))
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "BuildInputs":
        self._reading = asyncio.create_task(self._read(), name="input of a build")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    def __aiter__(self) -> "BuildInputs":
        return self

    async def __anext__(self) -> AgentBuildInput:
        message = await self._queue.get()
        if message is None:
            raise StopAsyncIteration
        return message

    async def answer(self, resolved: ResolvedImage) -> None:
        """Answer what the agent asked."""
        await self._queue.put(AgentBuildInput(resolved=resolved))

    async def _read(self) -> None:
        complete = False
        with suppress(Exception):  # the call of the caller tells it
            async for message in self._messages:
                await self._queue.put(AgentBuildInput(input=message))
                complete = complete or message.HasField("end_context")
        if not complete:
            await self._queue.put(None)
