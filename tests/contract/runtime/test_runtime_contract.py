"""What every `Runtime` promises: one suite on the fake and on the real one."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from agent.worker.container_runtime import Exit, Running, Runtime
from agent.worker.interfaces import Image
from shoal.errors import AlreadyExists, InvalidInput, NotFound
from tests.fakes.containers import Ends, build_image, container_request, real_runtime, wall_clock_ms
from tests.fakes.runtime import Behaviour, FakeRuntime

SLEEP = ("/bin/sleep", "1000")
FAIL = ("/bin/sh", "-c", "exit 3")
POLITE = ("/bin/sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done")
MISSING = ("/bin/missing",)
BEHAVIOURS = {
    FAIL: Behaviour(exits_with=3),
    POLITE: Behaviour(on_signal={"SIGTERM": 7}),
    MISSING: Behaviour(missing=True),
}

Opened = AbstractAsyncContextManager[tuple[Runtime, Ends]]
Promise = Callable[[Runtime, Ends, Image], Awaitable[None]]


@asynccontextmanager
async def fake(_: Path) -> AsyncGenerator[tuple[Runtime, Ends]]:
    ends = Ends()
    yield FakeRuntime(ends, wall_clock_ms, BEHAVIOURS), ends


@asynccontextmanager
async def real(directory: Path) -> AsyncGenerator[tuple[Runtime, Ends]]:
    async with real_runtime(directory) as (runtime, ends):
        yield runtime, ends


@pytest.fixture(params=[fake, real], ids=["fake", "real"])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Promise], None]:
    """Runs a promise against one implementation."""
    opened: Callable[[Path], Opened] = request.param

    def run(promise: Promise) -> None:
        async def body() -> None:
            async with opened(tmp_path) as (runtime, ends):
                await promise(runtime, ends, build_image(tmp_path))

        asyncio.run(body())

    return run


async def stop_politely(runtime: Runtime, ends: Ends, task_id: str) -> Exit:
    """SIGTERM until the program has its handler in place."""
    async with asyncio.timeout(60):
        while task_id not in ends.reported:
            await runtime.signal(task_id, "SIGTERM")
            await asyncio.sleep(0.02)
    return ends.reported[task_id][0]


def test_an_end_is_reported_once_with_its_code(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        request = container_request(image, *FAIL)
        running = await runtime.start(request)
        assert running.pid > 0
        end = await ends.of(request.task_id)
        assert (end.code, end.oom_killed) == (3, False)
        assert await runtime.recover() == {request.task_id: end}
        assert ends.reported == {request.task_id: [end]}

    check(promise)


def test_a_missing_program_is_bad_input_and_leaves_nothing(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        request = container_request(image, *MISSING)
        with pytest.raises(InvalidInput, match="/bin/missing: no such file in the image"):
            await runtime.start(request)
        assert await runtime.recover() == {}
        assert ends.reported == {}
        again = await runtime.start(container_request(image, *SLEEP, task_id=request.task_id))
        assert again.pid > 0

    check(promise)


def test_a_task_has_one_container(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        request = container_request(image, *SLEEP)
        running = await runtime.start(request)
        with pytest.raises(AlreadyExists):
            await runtime.start(request)
        assert await runtime.recover() == {request.task_id: running}

    check(promise)


def test_sigkill_ends_it_with_137(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        request = container_request(image, *SLEEP)
        await runtime.start(request)
        await runtime.signal(request.task_id, "SIGKILL")
        assert (await ends.of(request.task_id)).code == 137
        await runtime.signal(request.task_id, "SIGKILL")
        assert len(ends.reported[request.task_id]) == 1

    check(promise)


def test_a_program_handles_its_stop_signal(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        request = container_request(image, *POLITE)
        await runtime.start(request)
        assert (await stop_politely(runtime, ends, request.task_id)).code == 7

    check(promise)


def test_signals_may_be_named_as_docker_does(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        for name in ("9", "kill"):
            request = container_request(image, *SLEEP)
            await runtime.start(request)
            await runtime.signal(request.task_id, "RTMIN+3")
            await runtime.signal(request.task_id, name)
            assert (await ends.of(request.task_id)).code == 137

    check(promise)


def test_signals_by_name_only_and_to_nobody_without_error(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        await runtime.signal("0000000000000", "SIGTERM")
        with pytest.raises(InvalidInput, match="SIGNOPE"):
            await runtime.signal("0000000000000", "SIGNOPE")

    check(promise)


def test_remove_is_idempotent_and_reports_the_end(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        request = container_request(image, *SLEEP)
        await runtime.start(request)
        await runtime.remove(request.task_id, keep_logs=False)
        await runtime.remove(request.task_id, keep_logs=False)
        await runtime.remove("0000000000000", keep_logs=True)
        assert [end.code for end in ends.reported[request.task_id]] == [137]
        assert await runtime.recover() == {}

    check(promise)


def test_recover_gives_what_runs_and_what_ended(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        sleeping, failing = container_request(image, *SLEEP), container_request(image, *FAIL)
        running = await runtime.start(sleeping)
        await runtime.start(failing)
        end = await ends.of(failing.task_id)
        found: dict[str, Running | Exit] = {sleeping.task_id: running, failing.task_id: end}
        assert await runtime.recover() == found

    check(promise)


def test_the_network_of_what_runs_can_be_shared(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        files = {
            "/etc/hosts": b"127.0.0.1\tlocalhost\n",
            "/etc/hostname": b"db\n",
            "/etc/resolv.conf": b"search example.org\n",
        }
        request = container_request(image, *SLEEP, files=files, hostname="db")
        with pytest.raises(NotFound):
            await runtime.join_network(request.task_id)
        await runtime.start(request)
        sandbox = await runtime.join_network(request.task_id)
        os.close(sandbox.netns_fd)
        assert sandbox.shared is not None
        assert (sandbox.shared.hostname, sandbox.shared.domainname) == ("db", "")
        assert sandbox.shared.files == files
        await runtime.signal(request.task_id, "SIGKILL")
        await ends.of(request.task_id)
        with pytest.raises(NotFound):
            await runtime.join_network(request.task_id)

    check(promise)
