"""One build at the agent: how it ends when its call does."""

import asyncio
import errno
import gc
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from grpc import aio

from agent.build.frames import ANSWER, QUESTION
from agent.build.running_build import RunningBuild
from shoal.api.v1.builds_pb2 import AgentBuildInput, AgentBuildStart
from shoal.errors import Unavailable
from tests.unit.build.test_frames import SETTINGS

SENT_FIRST = 2


class Programs:
    """Has one program, which says nothing but its questions until it is ended."""

    def __init__(self, *questions: bytes) -> None:
        self.sent: list[bytes] = []
        self.answers: list[Any] = []
        self._questions = questions
        self._ended = asyncio.Event()

    def acquire(self) -> "Programs":
        return self

    async def open(self) -> None:
        return

    async def send(self, kind: bytes, body: bytes) -> None:
        self.sent.append(kind)
        if kind == ANSWER:
            self.answers.append(json.loads(body))

    async def messages(self) -> AsyncGenerator[tuple[bytes, bytes]]:
        for question in self._questions:
            yield QUESTION, question
        await self._ended.wait()

    async def end(self) -> None:
        self._ended.set()


class Host:
    """Makes no directories, and fails at everything else as nobody foresaw."""

    @property
    def cache(self) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    def make_directories(self, build_id: str, image_repository: str) -> Any:
        return SETTINGS


async def silent() -> AsyncGenerator[AgentBuildInput]:
    """Input of a call that goes on."""
    await asyncio.Event().wait()
    yield AgentBuildInput()


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


def test_a_question_that_fails_as_nobody_foresaw_has_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[Any]:
        host: Any = Host()
        programs: Any = Programs(json.dumps({"number": 7, "call": "find", "key": "k"}).encode())
        build = RunningBuild(host, AgentBuildStart(build_id="b"), silent(), programs)
        reading = asyncio.create_task(anext(build.run()))
        async with asyncio.timeout(10):
            while not programs.answers:  # noqa: ASYNC110  # the program is a fake
                await asyncio.sleep(0.001)
        await programs.end()
        await asyncio.gather(reading, return_exceptions=True)
        return list(programs.answers)

    (answer,) = asyncio.run(scenario())
    assert answer["number"] == 7 and "Too many open files" in answer["error"]["text"]
    assert "internal error: build b" in caplog.text
