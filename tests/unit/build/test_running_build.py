"""One build at the agent: how it ends when its call does."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from grpc import aio

from agent.build.running_build import RunningBuild
from shoal.api.v1.builds_pb2 import AgentBuildInput, AgentBuildStart
from shoal.errors import Unavailable
from tests.unit.build.test_frames import SETTINGS

SENT_FIRST = 2


class Programs:
    """Has one program, which says nothing until it is ended."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self._ended = asyncio.Event()

    def acquire(self) -> "Programs":
        return self

    async def open(self) -> None:
        return

    async def send(self, kind: bytes, body: bytes) -> None:
        self.sent.append(kind)

    async def messages(self) -> AsyncGenerator[tuple[bytes, bytes]]:
        await self._ended.wait()
        nothing: tuple[tuple[bytes, bytes], ...] = ()
        for message in nothing:
            yield message

    async def end(self) -> None:
        self._ended.set()


class Host:
    """Makes no directories."""

    def make_directories(self, build_id: str, image_repository: str) -> Any:
        return SETTINGS


async def broken() -> AsyncGenerator[AgentBuildInput]:
    """Input of a call that ends while it is read."""
    yield AgentBuildInput()
    raise aio.UsageError("RPC already finished.")


def test_a_call_that_ends_while_its_input_is_read_is_no_fault_of_the_agent() -> None:
    async def scenario() -> list[Any]:
        faults: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        host: Any = Host()
        programs: Any = Programs()
        build = RunningBuild(host, AgentBuildStart(build_id="b"), broken(), programs)
        reading = asyncio.create_task(anext(build.run()))
        await asyncio.sleep(0.1)
        assert len(programs.sent) == SENT_FIRST
        assert not reading.done()
        await programs.end()
        with pytest.raises(Unavailable):
            await reading
        gc.collect()
        await asyncio.sleep(0)
        return faults

    assert asyncio.run(scenario()) == []
