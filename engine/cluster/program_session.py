"""A session with a program on some node: input and output over one call of gRPC, `Attach` or `Exec`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, TerminalSize
from shoal.manager_calls.managers import Managers

_QUEUED_MESSAGES = 8
"""Of input that the node has not taken yet; then the client is not read."""


class ProgramSession:
    """One session. An asynchronous context manager: leaving it ends the call.

    Args:
        method: `AttachContainer`, `Attach` or `Exec` of a stub.
        first: the message that says what to attach to, or what to run.
    """

    def __init__(self, managers: Managers, method: Callable[..., Any], first: ExecInput) -> None:
        self._inputs: asyncio.Queue[ExecInput | None] = asyncio.Queue(_QUEUED_MESSAGES)
        self._outputs: AsyncGenerator[ExecOutput] = managers.stream(method, _Messages(first, self._inputs))

    async def __aenter__(self) -> "ProgramSession":
        return self

    async def __aexit__(self, *_: object) -> None:
        while not self._inputs.empty():
            self._inputs.get_nowait()
        self._inputs.put_nowait(None)  # ends the task that sends the messages, which gRPC leaves alone
        await self._outputs.aclose()

    async def begin(self) -> ExecOutput:
        """The first response: the program runs, or whoever called will miss nothing of it.

        Raises:
            ShoalError: it cannot be run, or attached to.
        """
        return await anext(self._outputs)

    def outputs(self) -> AsyncIterator[ExecOutput]:
        """What comes after the first response. Raises ShoalError."""
        return self._outputs

    async def send(self, data: bytes) -> None:
        """Input; waits while the node takes no more."""
        await self._inputs.put(ExecInput(stdin=data))

    async def end_input(self) -> None:
        """Its input ends."""
        await self._inputs.put(ExecInput(close_stdin=ExecInput.CloseStdin()))

    async def resize(self, size: TerminalSize) -> None:
        """The size of its terminal."""
        await self._inputs.put(ExecInput(resize=size))


class _Messages:
    """The messages of a call. No generator: gRPC leaves it suspended when the call is cancelled."""

    def __init__(self, first: ExecInput, others: "asyncio.Queue[ExecInput | None]") -> None:
        self._first: ExecInput | None = first
        self._others = others

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> ExecInput:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        message = await self._others.get()
        if message is None:
            raise StopAsyncIteration
        return message
