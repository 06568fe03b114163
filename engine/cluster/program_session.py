"""A session with a program on some node: input and output over one call of gRPC, `Attach` or `Exec`."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from engine.cluster.request_messages import RequestMessages
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
        self._inputs = RequestMessages(first, _QUEUED_MESSAGES)
        self._outputs: AsyncGenerator[ExecOutput] = managers.stream(method, self._inputs)

    async def __aenter__(self) -> "ProgramSession":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._inputs.end()
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
