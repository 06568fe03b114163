"""A manager on an etcd that somebody else started, with its defaults."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetClusterRequest,
    ScaleServicesRequest,
    WatchServicesRequest,
)
from shoal.api.v1.service_pb2 import ServiceSpec
from tests.integration.manager.manager_process import ManagerProcess, scripted_agents, shared_etcd

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
        token = (await control.GetCluster(GetClusterRequest())).agent_join_token
        async with scripted_agents(manager, token, "h1"):
            await control.CreateService(CreateServiceRequest(spec=spec("web", 400)))
            assert await running(control, "web") == 400
            none = [ScaleServicesRequest.Target(service="web", replicas=0)]
            await control.ScaleServices(ScaleServicesRequest(targets=none))
            assert await running(control, "web") == 0
            assert manager.process is not None and manager.process.poll() is None

    with_manager(tmp_path, scenario)
