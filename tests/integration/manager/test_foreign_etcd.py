"""A manager on an etcd that someone else started, with its defaults."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from shoal.api.v1.control_pb2 import (
    CompactStoreRequest,
    CreateFileRequest,
    CreateServiceRequest,
    GetStoreRequest,
    ListServicesRequest,
    RemoveFileRequest,
    ScaleServicesRequest,
    WatchServicesRequest,
)
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, shared_etcd, until
from tests.integration.manager.scripted_agents import scripted_agents

Scenario = Callable[[ManagerProcess, Any], Awaitable[None]]


def spec(name: str, replicas: int) -> ServiceSpec:
    made = ServiceSpec(name=name)
    made.task.container.image = "registry.test/hello@sha256:" + "b" * 64
    made.replicated.replicas = replicas
    return made


def with_manager(tmp_path: Path, scenario: Scenario, *flags: str) -> None:
    """Run a scenario with a manager on an etcd that was started with these flags."""

    async def run() -> None:
        with shared_etcd(tmp_path, *flags) as endpoint:
            manager = ManagerProcess(tmp_path / "manager", more=("--etcd-endpoint", endpoint))
            manager.start()
            try:
                await scenario(manager, await manager.ready())
            finally:
                manager.end()

    asyncio.run(run())


async def running(control: Any, service: str) -> int:
    """How many tasks run once the service has converged."""
    last = 0
    async for update in control.WatchServices(WatchServicesRequest(services=[service]), timeout=60):
        last = update.services[0].running
    return last


def test_many_tasks_with_the_default_bounds_of_a_transaction(tmp_path: Path) -> None:
    async def scenario(manager: ManagerProcess, control: Any) -> None:
        token = await join_token_of(control)
        async with scripted_agents(manager, token, "h1"):
            await control.CreateService(CreateServiceRequest(spec=spec("web", 400)))
            assert await running(control, "web") == 400
            none = [ScaleServicesRequest.Target(service="web", replicas=0)]
            await control.ScaleServices(ScaleServicesRequest(targets=none))
            assert await running(control, "web") == 0
            assert manager.process is not None and manager.process.poll() is None

    with_manager(tmp_path, scenario)


def test_without_space_the_manager_still_reads_and_says_what_helps(tmp_path: Path) -> None:
    async def scenario(manager: ManagerProcess, control: Any) -> None:
        token = await join_token_of(control)
        async with scripted_agents(manager, token, "h1"):
            await control.CreateService(CreateServiceRequest(spec=spec("web", 2)))
            assert await running(control, "web") == 2
            refused = await fill(control)
            assert refused.code() is StatusCode.RESOURCE_EXHAUSTED
            assert "shoal cluster compact" in (refused.details() or "")
            (full,) = (await control.GetStore(GetStoreRequest())).members
            assert "writes are rejected" in full.problem
            three = [ScaleServicesRequest.Target(service="web", replicas=3)]
            for _ in range(3):  # It is no matter of one request.
                with pytest.raises(aio.AioRpcError, match="shoal cluster compact"):
                    await control.ScaleServices(ScaleServicesRequest(targets=three))
            assert manager.stop() == 0
            manager.start()  # Without a leader, whose key it cannot write, but for readers.
            await until(lambda: lists_services(control, 1), "the manager reads again")
            (roomy,) = (await control.CompactStore(CompactStoreRequest(), timeout=60)).members
            assert not roomy.problem
            assert roomy.database_bytes < full.database_bytes
            await manager.ready()
            await control.ScaleServices(ScaleServicesRequest(targets=three))
            assert await running(control, "web") == 3
        assert manager.stop() == 0

    with_manager(tmp_path, scenario, f"--quota-backend-bytes={16 << 20}")


async def lists_services(control: Any, number: int) -> bool:
    try:
        return len((await control.ListServices(ListServicesRequest(), timeout=5)).services) == number
    except aio.AioRpcError:
        return False


async def fill(control: Any) -> aio.AioRpcError:
    """Use up the quota with history alone; how that was refused in the end."""
    for number in range(100):
        content = bytes([number]) * 400_000
        try:
            await control.CreateConfig(CreateFileRequest(spec=FileSpec(name="large"), content=content))
            await control.RemoveConfig(RemoveFileRequest(file="large"))
        except aio.AioRpcError as error:
            return error
    raise AssertionError("the quota was not reached")
