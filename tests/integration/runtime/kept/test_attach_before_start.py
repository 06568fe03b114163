"""Those who are attached before a program starts miss no byte of it, and no byte of theirs is lost."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.exec.exec_streams import StdStream
from agent.runtime.oci_runtime import OciRuntime
from agent.streams.exec_relay import Process, serve_attach
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput, ExecOutput, TerminalSize
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.ids import new_id
from tests.fakes.containers import Ends, build_image, real_runtime, shell

Body = Callable[[OciRuntime, Ends, Callable[..., ContainerRequest], str], Awaitable[None]]
pytestmark = pytest.mark.usefixtures("program")


def with_container(directory: Path, body: Body) -> None:
    async def run() -> None:
        image: Image = build_image(directory)
        async with real_runtime(directory) as (runtime, ends), asyncio.timeout(60):
            container = new_id()
            await runtime.make_root(container, image, volatile=True)

            def request(script: str, **spec: Any) -> ContainerRequest:
                return replace(shell(image, script, **spec), container_id=container)

            await body(runtime, ends, request, container)

    asyncio.run(run())


async def all_of(session: Process) -> dict[StdStream, bytes]:
    said = {StdStream.STDOUT: b"", StdStream.STDERR: b""}
    async for stream, piece in session.output():
        said[stream] += piece
    return said


def test_the_first_byte_and_the_last(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: Callable[..., ContainerRequest], container: str) -> None:
        for run in range(10):
            sessions = [runtime.attach_at_start(container) for _ in range(3)]
            first = request(f"echo out {run}; echo err {run} >&2; exit {run}")
            read = [asyncio.create_task(all_of(session)) for session in sessions]
            await runtime.start(first)
            expected = {StdStream.STDOUT: f"out {run}\n".encode(), StdStream.STDERR: f"err {run}\n".encode()}
            assert await asyncio.gather(*read) == [expected] * 3
            assert [await session.exit_code() for session in sessions] == [run] * 3
            await ends.of(first.task_id)
            await asyncio.gather(*(session.close() for session in sessions))
            await runtime.remove(first.task_id, keep_logs=False)

    with_container(tmp_path, body)


def test_early_input_and_its_end_reach_the_program(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000

    async def body(runtime: OciRuntime, ends: Ends, request: Callable[..., ContainerRequest], container: str) -> None:
        for sent in (data, b"", b"no newline"):
            session = runtime.attach_at_start(container)

            async def feed(session: Process = session, sent: bytes = sent) -> None:
                if sent:
                    await session.write(sent)
                session.close_input()

            feeding = asyncio.create_task(feed())
            await asyncio.sleep(0)
            first = request("cat; echo end", stdin_open=True, stdin_once=True)
            reading = asyncio.create_task(all_of(session))
            await runtime.start(first)
            await feeding
            said = (await reading)[StdStream.STDOUT]
            assert hashlib.sha256(said).digest() == hashlib.sha256(sent + b"end\n").digest(), (len(said), len(sent))
            assert await session.exit_code() == 0
            await session.close()
            await ends.of(first.task_id)
            await runtime.remove(first.task_id, keep_logs=False)

    with_container(tmp_path, body)


def test_input_stays_open_for_others_unless_it_is_once(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: Callable[..., ContainerRequest], container: str) -> None:
        session = runtime.attach_at_start(container)
        first = request("while read -r line; do echo got $line; done; echo end", stdin_open=True)
        await runtime.start(first)
        await session.write(b"one\n")
        session.close_input()
        await asyncio.sleep(0.2)
        other = runtime.attach(first.task_id)
        await other.write(b"two\n")
        said = b""
        async for _, piece in session.output():
            said += piece
            if b"two" in said:
                break
        assert said == b"got one\ngot two\n"
        assert first.task_id not in ends.reported
        await session.close()
        await other.close()

    with_container(tmp_path, body)


def test_a_start_that_fails_is_told_and_nobody_waits_on(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: Callable[..., ContainerRequest], container: str) -> None:
        del ends
        session, leaves = runtime.attach_at_start(container), runtime.attach_at_start(container)
        await leaves.close()
        failing = request("")
        failing.spec.command[0] = "/no/such"
        reading = asyncio.create_task(all_of(session))
        with pytest.raises(InvalidInput):
            await runtime.start(failing)
        with pytest.raises(InvalidInput, match="no such file"):
            await reading
        with pytest.raises(InvalidInput, match="no such file"):
            await session.exit_code()
        await session.close()
        gone = runtime.attach_at_start(container)
        await runtime.remove_root(container)
        with pytest.raises(NotFound, match="was removed"):
            await all_of(gone)

    with_container(tmp_path, body)


def test_the_call_answers_before_the_start(tmp_path: Path) -> None:
    """A terminal has its size before the program looks."""

    async def body(runtime: OciRuntime, ends: Ends, request: Callable[..., ContainerRequest], container: str) -> None:
        del ends

        async def messages() -> AsyncIterator[ExecInput]:
            size = TerminalSize(columns=91, rows=33)
            yield ExecInput(attach=AttachStart(task=container, wait=True, terminal=size))
            yield ExecInput(stdin=b"hello\n")
            await asyncio.Event().wait()

        answers = serve_attach(runtime, messages())
        assert (await anext(answers)).started.task_id == container
        first = request('stty size; read -r line; echo "<$line>"; exit 3', stdin_open=True, tty=True)
        await runtime.start(first)
        rest: list[ExecOutput] = [answer async for answer in answers]
        said = b"".join(answer.stdout for answer in rest)
        assert b"33 91\r\n" in said and b"<hello>\r\n" in said
        assert rest[-1].end.exit_code == 3

    with_container(tmp_path, body)


def test_a_run_that_never_gets_to_its_start_is_told_too(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: Callable[..., ContainerRequest], container: str) -> None:
        del ends
        session = runtime.attach_at_start(container)
        runtime.never_started(container, "port 80 is taken")
        with pytest.raises(Unavailable, match="port 80 is taken"):
            await all_of(session)
        await session.close()
        after = runtime.attach_at_start(container)
        reading = asyncio.create_task(all_of(after))
        await runtime.start(request("echo next"))
        assert (await reading)[StdStream.STDOUT] == b"next\n"
        await after.close()

    with_container(tmp_path, body)
