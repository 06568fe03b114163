"""A build program's connection with its agent. For one event loop."""

import asyncio
import itertools
import json
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

from agent.build.frames import (
    ANSWER,
    BLOBS,
    DONE,
    FAILED,
    INPUT,
    LAYER,
    MADE,
    OUTPUT,
    PUBLISHED,
    QUESTION,
    NewLayer,
    ProgramSettings,
    decode_error,
    encode_error,
    frame,
    read_frame,
)
from shoal.api.v1.builds_pb2 import BuildInput, BuildOutput
from shoal.distribution.manifests import Descriptor
from shoal.errors import ShoalError, Unavailable

_DESCRIPTORS = 4


class AgentConnection:
    """Sends what becomes of a build, asks what the agent alone knows, and receives the input.

    Args:
        descriptors: the socket on which the agent sends file descriptors.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, descriptors: socket.socket) -> None:
        self._reader = reader
        self._writer = writer
        self._descriptors = descriptors
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}

    @classmethod
    async def open(cls, control: socket.socket, descriptors: socket.socket) -> "AgentConnection":
        """On two inherited sockets."""
        reader, writer = await asyncio.open_unix_connection(sock=control, limit=1 << 20)
        return cls(reader, writer, descriptors)

    async def settings(self) -> ProgramSettings:
        """The first message; the program ends where the agent has no use for it."""
        first = await read_frame(self._reader)
        if first is None:
            os._exit(0)
        return ProgramSettings.parse(first[1])

    async def inputs(self) -> AsyncGenerator[BuildInput]:
        """The build's input as it comes; answers are passed to those who wait for them. It ends when the agent does."""
        while (message := await read_frame(self._reader)) is not None:
            kind, body = message
            if kind == INPUT:
                yield BuildInput.FromString(body)
            elif kind == ANSWER:
                self._answered(json.loads(body))

    def _answered(self, answer: Mapping[str, Any]) -> None:
        waiting = self._waiting.pop(answer["number"], None)
        if waiting is None or waiting.done():
            return
        if (error := answer.get("error")) is not None:
            waiting.set_exception(decode_error(error))
        else:
            waiting.set_result(answer)

    async def ask(self, call: str, **arguments: object) -> Mapping[str, Any]:
        """The answer to a question. Raises what the agent answers with."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._send(QUESTION, json.dumps({"number": number, "call": call, **arguments}).encode())
        answer: Mapping[str, Any] = await waiting
        return answer

    async def output(self, output: BuildOutput) -> None:
        """One response for whoever builds."""
        await self._send(OUTPUT, output.SerializeToString())

    async def layer(self, layer: NewLayer) -> None:
        """Have the agent keep a layer."""
        await self._send(LAYER, layer.encode())

    async def made(self) -> None:
        """All layers are made: the agent may put them in place, while links stay where they are now."""
        await self._send(MADE, b"")

    async def blobs(self, blobs: Mapping[str, Descriptor], kind: bytes = BLOBS) -> None:
        """Have the agent remember what layers are in the repository, by diff ID.

        Args:
            kind: `UPLOADED`: other nodes do not find them yet.
        """
        document = {
            diff_id: {"media_type": each.media_type, "digest": each.digest, "size": each.size}
            for diff_id, each in blobs.items()
        }
        await self._send(kind, json.dumps(document).encode())

    async def published(self, digest: str) -> None:
        """The image is in the cluster's repository."""
        await self._send(PUBLISHED, digest.encode())

    async def finish(self, error: ShoalError | None) -> None:
        """The last message; an agent that has ended the build does not read it."""
        with suppress(ConnectionError):
            await self._send(*((DONE, b"") if error is None else (FAILED, json.dumps(encode_error(error)).encode())))

    def receive_descriptor(self) -> int:
        """The descriptor that the agent sent before it answered."""
        _, found, _, _ = socket.recv_fds(self._descriptors, 16, _DESCRIPTORS)
        if len(found) != 1:
            raise Unavailable("the agent sent no descriptor")
        return found[0]

    async def _send(self, kind: bytes, body: bytes) -> None:
        self._writer.write(frame(kind, body))
        await self._writer.drain()
