"""Hooks in real containers, and containers whose output is not kept."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from agent.runtime.exec.exec_streams import StdStream
from agent.worker.container_runtime import Running
from shoal.api.v1.container_pb2 import Hook
from shoal.api.v1.service_pb2 import LogConfig
from shoal.errors import InvalidInput, NotFound
from tests.fakes.containers import Ends, build_image, new_cgroup, open_test_runtime, real_runtime, shell

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.02; done"
FLOOD_SECONDS = 30


def script(text: str, **more: str | bool) -> Hook:
    return Hook(command=["/bin/sh", "-c", text], **more)  # type: ignore[arg-type]


def test_hooks_have_their_own_user_directory_variables_and_rights(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with real_runtime(tmp_path) as (runtime, _):
            request = shell(build_image(tmp_path), SLEEP, env=["A=1"])
            await runtime.start(request)
            hook = script(
                'echo "$(id -u) $(pwd) $A$B"; grep CapBnd /proc/self/status; exit 3', user="7", working_dir="/tmp"
            )
            hook.env.append("B=2")
            done = await runtime.run_hook(request.task_id, hook)
            first, capabilities = done.output.decode().splitlines()
            assert (done.code, first) == (3, "7 /tmp 12")
            hook.privileged = True
            more = (await runtime.run_hook(request.task_id, hook)).output.decode().splitlines()[1]
            assert int(more.split()[1], 16) > int(capabilities.split()[1], 16)
            missing = await runtime.run_hook(request.task_id, Hook(command=["/bin/missing"]))
            assert missing.code == 127
            assert b"/bin/missing" in missing.output
            with pytest.raises(InvalidInput):
                await runtime.run_hook(request.task_id, script("true", user="nobody-here"))
            with pytest.raises(NotFound):
                await runtime.run_hook("gone", script("true"))

    asyncio.run(scenario())


def test_a_hook_that_hangs_is_killed_and_one_that_floods_has_its_last_words_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            request = shell(build_image(tmp_path), SLEEP)
            await runtime.start(request)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await runtime.run_hook(request.task_id, script("trap '' HUP; echo $$ > /pid; sleep 1000"))
            left = await runtime.run_hook(request.task_id, script("kill -0 $(cat /pid)"))
            assert left.code != 0
            async with asyncio.timeout(FLOOD_SECONDS):
                flood = script("dd if=/dev/zero bs=64k count=40 2>/dev/null; echo; echo end")
                done = await runtime.run_hook(request.task_id, flood)
            assert (done.code, done.output[-4:], len(done.output)) == (0, b"end\n", 4096)
            await runtime.signal(request.task_id, "SIGTERM")
            assert (await ends.of(request.task_id)).code == 0

    asyncio.run(scenario())


def test_nothing_is_kept_of_what_a_container_without_log_writes(tmp_path: Path) -> None:
    async def scenario() -> None:
        cgroup, image = new_cgroup(), build_image(tmp_path)
        text = "read -r line; echo heard $line; echo aside >&2; read -r line; exit 4"
        request = shell(image, text, log=LogConfig(disabled=True), stdin_open=True)
        async with open_test_runtime(tmp_path, Ends(), cgroup) as runtime:
            await runtime.start(request)
            attached = runtime.attach(request.task_id)
            await attached.write(b"you\n")
            said = {StdStream.STDOUT: b"", StdStream.STDERR: b""}
            async with asyncio.timeout(60), aclosing(attached.output()) as output:
                async for stream, piece in output:
                    said[stream] += piece
                    if all(said.values()):
                        break
            assert said == {StdStream.STDOUT: b"heard you\n", StdStream.STDERR: b"aside\n"}
            await attached.close()
            with pytest.raises(NotFound, match="no log"):
                async with aclosing(runtime.logs(request.task_id)) as lines:
                    await anext(lines)
        ends = Ends()
        async with open_test_runtime(tmp_path, ends, cgroup) as runtime:
            try:
                assert isinstance((await runtime.recover())[request.task_id], Running)
                again = runtime.attach(request.task_id)
                await again.write(b"bye\n")
                assert (await ends.of(request.task_id)).code == 4
                await again.close()
                assert not list((tmp_path / "state" / "logs").rglob("log*"))
            finally:
                await runtime.reset()

    asyncio.run(scenario())
