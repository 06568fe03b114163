"""One build on some node: the context goes in, and what happens comes out, over one call of gRPC."""

import asyncio
from collections.abc import AsyncGenerator

from engine.cluster.request_messages import RequestMessages
from shoal.api.v1.builds_pb2 import BuildInput, BuildOutput, BuildSecret, BuildStart, SshReply
from shoal.manager_calls.managers import Managers

PART_BYTES = 256 * 1024
"""Of a context in one message."""
_QUEUED_PARTS = 8
"""Of a context that the node has not taken yet; then the client is not read."""


class BuildSession:
    """One build. An asynchronous context manager: leaving it ends the build."""

    def __init__(self, managers: Managers, start: BuildStart) -> None:
        self._inputs = RequestMessages(BuildInput(start=start), _QUEUED_PARTS)
        self._outputs: AsyncGenerator[BuildOutput] = managers.stream(managers.builds.Build, self._inputs)
        self._has_begun = asyncio.Event()

    async def __aenter__(self) -> "BuildSession":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._inputs.end()
        await self._outputs.aclose()

    async def outputs(self) -> AsyncGenerator[BuildOutput]:
        """Until the result. Raises ShoalError: why there is none."""
        async for output in self._outputs:
            self._has_begun.set()
            yield output

    async def send(self, data: bytes) -> None:
        """A part of the context; waits until a node has been chosen, and while that takes no more."""
        await self._has_begun.wait()
        for start in range(0, len(data), PART_BYTES):
            await self._inputs.put(BuildInput(context=data[start : start + PART_BYTES]))

    async def put(self, message: BuildInput) -> None:
        """A message as it is; waits as `send`."""
        await self._has_begun.wait()
        await self._inputs.put(message)

    async def send_secret(self, identifier: str, value: bytes) -> None:
        """A secret, before the contexts."""
        await self._has_begun.wait()
        await self._inputs.put(BuildInput(secret=BuildSecret(id=identifier, value=value)))

    async def reply(self, reply: SshReply) -> None:
        """What an SSH agent has answered to a request of the node; also after the end of the context."""
        await self._inputs.put(BuildInput(ssh_reply=reply))

    async def end_context(self) -> None:
        """The context is complete, or there is none."""
        await self._inputs.put(BuildInput(end_context=BuildInput.EndContext()))
