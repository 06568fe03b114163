"""Programs that users run in containers: their streams, terminals, rights and ends."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.exec import exec_starter
from agent.runtime.exec.exec_process import ExecProcess
from agent.runtime.exec.exec_starter import CannotExecError
from agent.runtime.exec.exec_streams import StdStream
from agent.runtime.oci_runtime import OciRuntime
from agent.streams.exec_sessions import ExecSessions
from shoal.api.v1.engine_pb2 import CreateExecRequest, ExecSession
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStart, StartCreatedExec, TerminalSize
from shoal.errors import Exhausted, InvalidInput, NotFound
from tests.fakes.containers import Ends, build_image, container_request, new_cgroup, open_test_runtime

Body = Callable[[OciRuntime, str], Awaitable[None]]
PROGRAMS = pytest.mark.parametrize("program", ["crun", "runc"])


def in_container(directory: Path, body: Body, *, program: str = "crun", **spec: Any) -> None:
    async def run() -> None:
        async with open_test_runtime(directory, Ends(), new_cgroup(), programs=(program,)) as runtime:
            try:
                request = container_request(build_image(directory), "/bin/sleep", "1000", **spec)
                await runtime.start(request)
                async with asyncio.timeout(60):
                    await body(runtime, request.task_id)
            finally:
                await runtime.reset()

    asyncio.run(run())


async def begun(runtime: OciRuntime, task: str, *words: str, **options: Any) -> ExecProcess:
    return await runtime.start_exec(ExecStart(task=task, args=words, **options))


async def finished(process: ExecProcess) -> tuple[int, bytes, bytes]:
    written = {StdStream.STDOUT: b"", StdStream.STDERR: b""}
    async with aclosing(process.output()) as output:
        async for stream, piece in output:
            written[stream] += piece
    return await process.exit_code(), written[StdStream.STDOUT], written[StdStream.STDERR]


async def ran(runtime: OciRuntime, task: str, script: str, **options: Any) -> tuple[int, bytes, bytes]:
    return await finished(await begun(runtime, task, "/bin/sh", "-c", script, **options))


async def words_of(process: ExecProcess, options: bytes) -> bytes:
    """What it writes until `wanted` is part of it."""
    said = b""
    async with aclosing(process.output()) as output:
        async for _, piece in output:
            said += piece
            if options in said:
                return said
    raise AssertionError(said)


async def descriptors(runtime: OciRuntime, task: str) -> int:
    """How many this process has open, once what is opened for the first program is."""
    await ran(runtime, task, "true")
    return len(list(Path("/proc/self/fd").iterdir()))


@PROGRAMS
def test_streams_and_code(tmp_path: Path, program: str) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        assert await ran(runtime, task, "echo out; echo err >&2; exit 3") == (3, b"out\n", b"err\n")
        assert await ran(runtime, task, "kill -TERM $$") == (128 + signal.SIGTERM, b"", b"")
        assert await ran(runtime, task, "cat; echo end") == (0, b"end\n", b"")  # no input: empty
        before = await descriptors(runtime, task)
        for _ in range(3):
            code, out, _ = await ran(runtime, task, "head -c 1000000 /dev/zero; sleep 1000 & echo")
            assert (code, len(out)) == (0, 1_000_001)  # not waiting for who was left behind
        assert await descriptors(runtime, task) <= before
        assert [path.name for path in tmp_path.rglob("user-exec-*")] == []

    in_container(tmp_path, body, program=program)


@PROGRAMS
def test_one_that_is_created_first_is_remembered(tmp_path: Path, program: str) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        sessions = ExecSessions(task_of=runtime.task_of, runtime=runtime)

        async def run(script: str, *, detach: bool) -> tuple[ExecSession, list[ExecOutput]]:
            start = ExecStart(args=["/bin/sh", "-c", script])
            about = sessions.create(CreateExecRequest(container=task, start=start))

            async def messages() -> AsyncIterator[ExecInput]:
                yield ExecInput(start_created=StartCreatedExec(id=about.id, detach=detach))

            return about, [each async for each in sessions.serve(messages())]

        about, outputs = await run("echo out; exit 5", detach=False)
        assert b"".join(each.stdout for each in outputs) == b"out\n" and outputs[-1].end.exit_code == 5
        assert sessions.get(about.id).exit_code == 5
        about, outputs = await run("until test -e /seen; do sleep 0.02; done; exit 6", detach=True)
        assert len(outputs) == 1 and sessions.get(about.id).running
        assert task in Path(f"/proc/{sessions.get(about.id).pid}/cgroup").read_text()
        await ran(runtime, task, ": > /seen")
        async with asyncio.timeout(60):
            while sessions.get(about.id).running:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert sessions.get(about.id).exit_code == 6
        about, outputs = await run("exit 7", detach=True)
        about, outputs = await run("sleep 1000 & echo $!", detach=False)
        assert sessions.get(about.id).exit_code == 0

    in_container(tmp_path, body, program=program)


@PROGRAMS
def test_input_goes_in_and_ends(tmp_path: Path, program: str) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        process = await begun(runtime, task, "/bin/busybox", "sha256sum", stdin=True)
        for _ in range(64):
            await process.write(b"x" * 65_536)
        process.close_input()
        code, out, _ = await finished(process)
        assert (code, out.split()[0].decode()) == (0, hashlib.sha256(b"x" * 4_194_304).hexdigest())
        deaf = await begun(runtime, task, "/bin/sh", "-c", "exec <&-; sleep 0.1", stdin=True)
        await deaf.write(b"x" * 1_000_000)  # nobody reads: neither an error nor waiting
        assert (await finished(deaf))[0] == 0

    in_container(tmp_path, body, program=program)


@PROGRAMS
def test_a_terminal(tmp_path: Path, program: str) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        size = TerminalSize(columns=91, rows=33)
        code, out, err = await ran(runtime, task, "tty >&2; stty size; echo $TERM", terminal=size)
        assert (code, out.split(), err) == (0, [b"/dev/pts/0", b"33", b"91", b"xterm"], b"")
        before = await descriptors(runtime, task)
        answers = "while read -r line; do stty size; echo $line $TERM; done"
        script = f"trap 'echo interrupted; exit 7' INT; echo ready; {answers}; exit 7"
        for last in (b"\x03", b"\x04"):  # Ctrl-C, Ctrl-D
            more = {"stdin": True, "terminal": size, "env": ["TERM=vt100"]}
            process = await begun(runtime, task, "/bin/sh", "-c", script, **more)
            await words_of(process, b"ready\r\n")
            process.resize(100, 40)
            await process.write(b"one\n")
            assert b"40 100\r\none vt100" in await words_of(process, b"vt100\r\n")
            await process.write(last)
            end = await finished(process)
            assert (end[0], b"interrupted" in end[1]) == (7, last == b"\x03")
        assert await descriptors(runtime, task) <= before

    in_container(tmp_path, body, program=program)


@PROGRAMS
def test_who_and_where_it_runs(tmp_path: Path, program: str) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        script = "id -u; id -g; pwd; echo $HOME $MINE $OTHER; grep CapEff /proc/self/status"
        lines = (await ran(runtime, task, script, env=["OTHER=2", "MINE=3"]))[1].split(b"\n")
        assert lines[:4] == [b"0", b"0", b"/", b"/root 3 2"]
        assert lines[4] == b"CapEff:\t00000000a80425fb"
        lines = (await ran(runtime, task, script, user="app", working_dir="/etc"))[1].split(b"\n")
        assert lines[:5] == [b"1000", b"1000", b"/etc", b"/home/app 1", b"CapEff:\t0000000000000000"]
        lines = (await ran(runtime, task, script, user="7:8"))[1].split(b"\n")
        assert lines[:2] == [b"7", b"8"]
        all_of_them = Path("/proc/self/status").read_text().split("CapBnd:\t")[1].split()[0].encode()
        lines = (await ran(runtime, task, script, privileged=True))[1].split(b"\n")
        assert lines[4] == b"CapEff:\t" + all_of_them

    in_container(tmp_path, body, program=program, env=["MINE=1"])


@PROGRAMS
def test_what_cannot_be_run(tmp_path: Path, program: str) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        before = await descriptors(runtime, task)
        for terminal in ({}, {"terminal": TerminalSize(columns=80, rows=24)}):
            with pytest.raises(CannotExecError, match="missing") as missing:
                await begun(runtime, task, "missing", "word", **terminal)
            assert missing.value.code == 127
            with pytest.raises(CannotExecError) as none:
                await begun(runtime, task, "/etc/passwd", **terminal)
            assert none.value.code == 126
            with pytest.raises(CannotExecError) as nowhere:
                await begun(runtime, task, "/bin/true", working_dir="/nowhere", **terminal)
            assert nowhere.value.code == 126
        with pytest.raises(InvalidInput, match="user 'stranger' not found"):
            await begun(runtime, task, "/bin/true", user="stranger")
        with pytest.raises(NotFound):
            await begun(runtime, "other", "/bin/true")
        assert await descriptors(runtime, task) <= before
        assert [path.name for path in tmp_path.rglob("user-exec-*")] == []

    in_container(tmp_path, body, program=program)


@PROGRAMS
@pytest.mark.parametrize("terminal", [True, False])
def test_it_ends_when_it_is_hung_up_on(tmp_path: Path, program: str, terminal: bool) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        more = {"terminal": TerminalSize(columns=80, rows=24)} if terminal else {}
        script = "trap 'echo hung up > /polite; exit' HUP; echo; while :; do sleep 0.1; done"
        polite = await begun(runtime, task, "/bin/sh", "-c", script, **more)
        await words_of(polite, b"\n")
        await polite.close()
        stubborn = await begun(runtime, task, "/bin/sh", "-c", "trap '' HUP; echo; sleep 2001; sleep 2002", **more)
        await words_of(stubborn, b"\n")
        assert await stubborn.close() == 128 + signal.SIGKILL
        listed = await ran(runtime, task, "cat /polite; cat /proc/[0-9]*/cmdline")
        assert b"hung up" in listed[1]
        assert b"2001" not in listed[1]

    in_container(tmp_path, body, program=program)


@PROGRAMS
def test_one_that_is_killed_does_not_see_its_children_end(tmp_path: Path, program: str) -> None:
    """It would go on, end with a code of its own, or die of saying so to a pipe that is closed."""

    async def body(runtime: OciRuntime, task: str) -> None:
        children = "sleep 2001 & first=$!; for i in $(seq 300); do sleep 2001 & done"
        script = f"trap '' HUP; {children}; echo; wait $first; sleep 2002 & echo seen > /after; exit 5"
        process = await begun(runtime, task, "/bin/sh", "-c", script)
        await words_of(process, b"\n")
        assert await process.close() == 128 + signal.SIGKILL
        listed = await ran(runtime, task, "cat /after; cat /proc/[0-9]*/cmdline")
        assert b"seen" not in listed[1] and b"2002" not in listed[1] and b"2001" not in listed[1]

    in_container(tmp_path, body, program=program)


def test_who_goes_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        before = await descriptors(runtime, task)
        for after in (0.0, 0.002, 0.005, 0.01, 0.02, 0.04):
            starting = asyncio.create_task(begun(runtime, task, "/bin/sleep", "2001"))
            await asyncio.sleep(after)
            if starting.cancel():
                await asyncio.wait([starting])
            if not starting.cancelled():
                await starting.result().close()
        assert b"2001" not in (await ran(runtime, task, "cat /proc/[0-9]*/cmdline"))[1]
        assert await descriptors(runtime, task) <= before

    in_container(tmp_path, body)


def test_one_that_is_let_run_outlives_the_agent_and_others_do_not(tmp_path: Path) -> None:
    async def run() -> None:
        cgroup = new_cgroup()
        async with open_test_runtime(tmp_path, Ends(), cgroup) as runtime:
            request = container_request(build_image(tmp_path), "/bin/sleep", "1000")
            await runtime.start(request)
            task = request.task_id
            size = TerminalSize(columns=80, rows=24)  # nobody would be at the other end of it
            options = ExecStart(task=task, args=["/bin/sleep", "2001"], detach=True, terminal=size)
            await runtime.start_exec(options)
            lost = await begun(runtime, task, "/bin/sleep", "2002")
            bundle = runtime._paths.bundle(task)
            for path in bundle.glob("user-exec-*"):  # as of an agent that has died
                path.rename(bundle / path.name.replace(f"-{os.getpid()}-", "-1-"))
        async with open_test_runtime(tmp_path, Ends(), cgroup) as runtime:
            try:
                assert task in await runtime.recover()
                listed = (await ran(runtime, task, "cat /proc/[0-9]*/cmdline"))[1]
                assert b"2001" in listed
                assert b"2002" not in listed
                assert list(bundle.glob("user-exec-*")) == []
                assert await lost.close() == 128 + signal.SIGKILL
            finally:
                await runtime.reset()

    asyncio.run(run())


def test_the_container_ends_under_it(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        process = await begun(runtime, task, "/bin/sh", "-c", "echo; sleep 1000")
        assert await words_of(process, b"\n") == b"\n"
        reading = asyncio.create_task(finished(process))
        await runtime.remove(task, keep_logs=False)
        assert await reading == (128 + signal.SIGKILL, b"", b"")
        with pytest.raises(NotFound):
            await begun(runtime, task, "/bin/true")

    in_container(tmp_path, body)


def test_they_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_starter, "MAX_EXECS", 3)

    async def body(runtime: OciRuntime, task: str) -> None:
        held = [await begun(runtime, task, "/bin/cat", stdin=True) for _ in range(3)]
        with pytest.raises(Exhausted):
            await begun(runtime, task, "/bin/true")
        await held.pop().close()
        with pytest.raises(CannotExecError):
            await begun(runtime, task, "missing")
        held.append(await begun(runtime, task, "/bin/cat", stdin=True))
        for process in held:
            process.close_input()
            assert await finished(process) == (0, b"", b"")

    in_container(tmp_path, body)


def test_remnants_of_an_agent_that_died_are_passed_over_where_they_say_nothing(tmp_path: Path) -> None:
    bundle = tmp_path / "8z77adfzgkty5"
    bundle.mkdir()
    for name, said in (("1-1.pid", ""), ("1-2.pid", "x1"), ("1-3.pid", "4194300"), ("1-4.pid", "1"), ("1-5.json", "{")):
        (bundle / f"user-exec-{name}").write_text(said)
    kept = bundle / f"user-exec-{os.getpid()}-1.pid"
    kept.write_text(str(os.getpid()))
    exec_starter.kill_orphans(bundle)
    assert list(bundle.iterdir()) == [kept]


def test_the_container_goes_while_one_starts(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, task: str) -> None:
        bundle = runtime._paths.bundle(task)
        aside = bundle.with_name("aside")
        bundle.rename(aside)
        with pytest.raises(NotFound):
            await begun(runtime, task, "/bin/true")
        with pytest.raises(NotFound):
            await begun(runtime, task, "/bin/true", terminal=TerminalSize(columns=80, rows=24))
        aside.rename(bundle)
        assert (await ran(runtime, task, "echo back"))[1] == b"back\n"

    in_container(tmp_path, body)
