"""What every `Runtime` promises about kept root file systems, and about running containers that are changed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.worker.container_runtime import Runtime
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.meta_pb2 import Resources
from shoal.errors import NotFound, Refused, Unavailable
from shoal.ids import new_id
from tests.contract.runtime.test_runtime_contract import FAIL, SLEEP, Promise, check
from tests.fakes.containers import Ends, container_request

__all__ = ["check"]


def test_a_root_outlives_its_runs_until_it_is_removed(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        container = new_id()
        request = replace(container_request(image, *FAIL), container_id=container)
        with pytest.raises(Unavailable, match="no root file system"):
            await runtime.start(request)
        assert runtime.kept_roots() == {}
        for _ in range(2):
            await runtime.make_root(container, image, volatile=False)
        assert runtime.kept_roots() == {container: image.digest}
        with pytest.raises(Refused, match="is on image"):
            await runtime.make_root(container, replace(image, digest="sha256:other"), volatile=False)
        for _ in range(2):
            request = replace(container_request(image, *FAIL), container_id=container)
            await runtime.start(request)
            await ends.of(request.task_id)
            with pytest.raises(Unavailable, match="in use"):
                await runtime.remove_root(container)
            await runtime.remove(request.task_id, keep_logs=False)
            assert await runtime.recover() == {}
            assert runtime.kept_roots() == {container: image.digest}
        for _ in range(2):
            await runtime.remove_root(container)
        assert runtime.kept_roots() == {}

    check(promise)


def test_a_paused_container_goes_on_when_that_is_said_and_at_a_signal(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        request = container_request(image, *SLEEP)
        task = request.task_id
        with pytest.raises(NotFound):
            await runtime.set_paused(task, True)
        await runtime.start(request)
        with pytest.raises(Refused, match="not paused"):
            await runtime.set_paused(task, False)
        await runtime.set_paused(task, True)
        assert await runtime.is_paused(task)
        with pytest.raises(Refused, match="already paused"):
            await runtime.set_paused(task, True)
        await runtime.signal(task, "SIGCONT")
        assert not await runtime.is_paused(task)
        await runtime.set_paused(task, True)
        async with asyncio.timeout(60):
            await runtime.signal(task, "SIGKILL")
            assert (await ends.of(task)).code == 137
        assert not await runtime.is_paused(task)

    check(promise)


def test_limits_are_of_running_containers(check: Callable[[Promise], None]) -> None:
    async def promise(runtime: Runtime, ends: Ends, image: Image) -> None:
        del ends
        request = container_request(image, *SLEEP)
        with pytest.raises(NotFound):
            await runtime.set_limits(request.task_id, ContainerSpec(), Resources())
        await runtime.start(request)
        await runtime.set_limits(request.task_id, ContainerSpec(), Resources(memory_bytes=64 << 20))

    check(promise)
