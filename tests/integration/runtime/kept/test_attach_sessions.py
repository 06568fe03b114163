"""Being at the other end of a container's own program."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.exec import attach_session
from agent.runtime.exec.attach_session import AttachSession
from agent.runtime.exec.exec_streams import StdStream
from agent.runtime.oci_runtime import OciRuntime
from shoal.errors import Exhausted, NotFound
from tests.fakes.containers import Ends, build_image, new_cgroup, open_test_runtime, shell

Body = Callable[[OciRuntime, str], Awaitable[None]]
ECHO = "trap 'echo interrupted; exit 4' INT; while read -r line; do echo \"out $line\"; echo err >&2; done; exit 3"


def in_container(directory: Path, script: str, body: Body, **spec: Any) -> None:
    async def run() -> None:
        async with open_test_runtime(directory, Ends(), new_cgroup()) as runtime:
            try:
                request = shell(build_image(directory), script, **spec)
                await runtime.start(request)
                async with asyncio.timeout(60):
                    await body(runtime, request.task_id)
            finally:
                await runtime.reset()

    asyncio.run(run())


async def read(end: AttachSession, expected: bytes) -> dict[StdStream, bytes]:
    """What it writes until `wanted` is part of it."""
    said = {StdStream.STDOUT: b"", StdStream.STDERR: b""}
    async with aclosing(end.output()) as output:
        async for stream, piece in output:
            said[stream] += piece
            if any(expected in each for each in said.values()):
                return said
    raise AssertionError(said)


def test_several_at_one_program(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        one, two = runtime.attach(task), runtime.attach(task)
        await one.write(b"hello\n")
        assert await read(one, b"err\n") == {StdStream.STDOUT: b"out hello\n", StdStream.STDERR: b"err\n"}
        assert await read(two, b"err\n") == {StdStream.STDOUT: b"out hello\n", StdStream.STDERR: b"err\n"}
        one.close_input()
        await one.close()
        await two.write(b"x" * 20_000 + b"\n")
        assert len((await read(two, b"x\n"))[StdStream.STDOUT]) == 20_005
        two.signal(signal.SIGINT)
        await read(two, b"interrupted\n")
        assert [piece async for _, piece in two.output()] == []
        assert await two.exit_code() == 4
        await two.close()
        with pytest.raises(NotFound):
            runtime.attach(task)

    in_container(tmp_path, ECHO, body, stdin_open=True)


def test_its_terminal_has_the_size_of_ours(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        end = runtime.attach(task)
        end.resize(91, 33)
        said = b""
        while b"33 91" not in said:
            await end.write(b"go\n")
            said += (await read(end, b"size\r\n"))[StdStream.STDOUT]
        await end.close()

    in_container(tmp_path, "while read -r _; do stty size; echo size; done", body, stdin_open=True, tty=True)


def test_the_program_does_not_wait_for_a_caller_that_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach_session, "MAX_BUFFERED", 100_000)
    monkeypatch.setattr(attach_session, "STALL_SECONDS", 0.5)

    async def body(runtime: OciRuntime, task: str) -> None:
        slow, quick = runtime.attach(task), runtime.attach(task)
        await quick.write(b"go\n")
        await read(quick, b"end\n")
        with pytest.raises(Exhausted):
            await read(slow, b"end\n")
        await slow.close()
        await quick.write(b"go\n")
        await read(quick, b"end\n")
        await quick.close()

    in_container(tmp_path, "while read -r _; do head -c 1000000 /dev/zero; echo end; done", body, stdin_open=True)


def test_a_program_waits_for_a_slow_caller_and_no_byte_is_lost(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        end = runtime.attach(task)
        await end.write(b"go\n")
        size, tail = 0, b""
        async with aclosing(end.output()) as output:
            async for _, piece in output:
                size, tail = size + len(piece), (tail + piece)[-4:]
                assert len(piece) <= 2 * attach_session.MAX_BUFFERED
                await asyncio.sleep(0.01)
                if tail == b"end\n":
                    break
        await end.close()
        assert size == 10_000_004

    in_container(tmp_path, "while read -r _; do head -c 10000000 /dev/zero; echo end; done", body, stdin_open=True)


def test_a_program_without_input_has_an_exit_code(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        end = runtime.attach(task)
        await end.write(b"ignored\n")
        await runtime.execute(task, ("/bin/sh", "-c", ": > /attached"))
        written = b"".join([piece async for _, piece in end.output()])
        assert (await end.exit_code(), written[-4:]) == (5, b"end\n")
        await end.close()

    in_container(tmp_path, "until test -e /attached; do sleep 0.02; done; echo end; exit 5", body)
