"""Streams between an agent's session and managers, in memory: they can be stalled, and cut with what is on the way."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from grpc import aio

from shoal.api.v1.dispatcher_pb2 import AgentMessage, ManagerMessage
from shoal.errors import ShoalError, Unavailable


class StreamServer(Protocol):
    """A manager that may be reached, or not."""

    @property
    def is_reachable(self) -> bool: ...

    def accept(self, stream: "Stream") -> None: ...


class Stream:
    """As the agent's end of `aio.StreamStreamCall`.

    Attributes:
        to_manager: what has arrived there; None: the manager has learned that the stream is broken.
    """

    def __init__(self, server: StreamServer, on_end: Callable[[], None]) -> None:
        self._server = server
        self._on_end = on_end
        self._opened = self._answered = self._broken = self._stalled = False
        self._under_way: list[AgentMessage | None] = []
        self._answers_under_way: list[ManagerMessage | ShoalError | None] = []
        self.to_manager: asyncio.Queue[AgentMessage | None] = asyncio.Queue()
        self._to_agent: asyncio.Queue[ManagerMessage | ShoalError | None] = asyncio.Queue()

    # The agent's end.

    async def initial_metadata(self) -> object:
        await asyncio.sleep(0)
        if not self._server.is_reachable:
            raise Unavailable("connection refused")
        self._opened = True
        self._server.accept(self)
        return None

    async def write(self, message: AgentMessage) -> None:
        if self._broken:
            raise Unavailable("the connection was lost")
        self._arrive(AgentMessage.FromString(message.SerializeToString()))

    def _arrive(self, message: AgentMessage | None) -> None:
        if self._stalled:
            self._under_way.append(message)
        else:
            self.to_manager.put_nowait(message)

    async def read(self) -> object:
        message = await self._to_agent.get()
        if isinstance(message, ShoalError):
            raise message
        self._answered = self._answered or message is not None
        return message if message is not None else aio.EOF

    def cancel(self) -> bool:
        if self._answered:
            self._on_end()
        if self._opened and not self._broken:
            self._arrive(None)
        return True

    # The manager's end.

    def send(self, message: ManagerMessage | ShoalError | None) -> None:
        """A message, or the end: with an error, or without."""
        if self._broken:
            return
        copy = (
            ManagerMessage.FromString(message.SerializeToString()) if isinstance(message, ManagerMessage) else message
        )
        if self._stalled:
            self._answers_under_way.append(copy)
        else:
            self._to_agent.put_nowait(copy)

    # The network.

    def stall(self) -> None:
        """Nothing arrives for now."""
        self._stalled = True

    def resume(self) -> None:
        """All that was under way arrives."""
        self._stalled = False
        for message in self._under_way:
            self.to_manager.put_nowait(message)
        for answer in self._answers_under_way:
            self._to_agent.put_nowait(answer)
        self._under_way, self._answers_under_way = [], []

    def cut(self, *, arrives: bool) -> None:
        """The agent loses the connection, and what the manager has sent; the manager is not told.

        Args:
            arrives: what the agent has sent does arrive.
        """
        for message in self._under_way if arrives else ():
            self.to_manager.put_nowait(message)
        self._broken, self._under_way, self._answers_under_way = True, [], []
        while not self._to_agent.empty():
            self._to_agent.get_nowait()
        self._to_agent.put_nowait(Unavailable("the connection was lost"))


class Channel:
    """As much of `aio.Channel` as a session needs."""

    def __init__(self, server: StreamServer, on_end: Callable[[], None]) -> None:
        self._server = server
        self._on_end = on_end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def stream_stream(self, path: str, **kwargs: Any) -> Callable[[], Stream]:
        del path, kwargs
        return lambda: Stream(self._server, self._on_end)
