"""The requests of a call in both directions, with back-pressure."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class RequestMessages(Generic[T]):
    """The requests of one call. No generator: gRPC leaves it suspended when the call is cancelled.

    Args:
        first: sent at once.
        most: how many further ones wait for the node; then `put` does.
    """

    def __init__(self, first: T, most: int) -> None:
        self._first: T | None = first
        self._others: asyncio.Queue[T | None] = asyncio.Queue(most)

    def __aiter__(self) -> "RequestMessages[T]":
        return self

    async def __anext__(self) -> T:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        message = await self._others.get()
        if message is None:
            raise StopAsyncIteration
        return message

    async def put(self, message: T) -> None:
        """Another one; waits while too many wait."""
        await self._others.put(message)

    def end(self) -> None:
        """No more: what waits is dropped. It ends the task that sends the messages, which gRPC leaves alone."""
        while not self._others.empty():
            self._others.get_nowait()
        self._others.put_nowait(None)
