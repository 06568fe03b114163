"""A manager that lost its etcd comes back from a snapshot, with the same nodes and what their tasks should be."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetClusterRequest,
    ListServicesRequest,
    ScaleServicesRequest,
    WatchServicesRequest,
)
from tests.integration.manager.manager_process import (
    ManagerProcess,
    join_token_of,
    running_manager,
    scripted_agents,
    until,
)
from tests.integration.manager.test_two_managers import web


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "manager.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def on(manager: ManagerProcess, command: str, file: Path) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(run, command, "--state-directory", str(manager.state), str(file))


async def running(control: Any, service: str) -> int:
    last = 0
    async for update in control.WatchServices(WatchServicesRequest(services=[service]), timeout=60):
        last = update.services[0].running
    return last


def test_a_cluster_comes_back_as_it_was_at_the_snapshot(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "shoal.snapshot"
        # The tasks would be replaced if the node found the new manager later than it may be silent.
        async with running_manager(tmp_path, "--heartbeat-seconds", "5") as (manager, control):
            cluster = await control.GetCluster(GetClusterRequest())
            async with scripted_agents(manager, await join_token_of(control), "h1") as (agent,):
                await control.CreateService(CreateServiceRequest(spec=web("web", 3)))
                assert await running(control, "web") == 3
                of_then = set(agent.tasks)
                saved = await on(manager, "snapshot", file)
                assert (saved.returncode, saved.stderr) == (0, "")
                newer = [ScaleServicesRequest.Target(service="web", replicas=5)]
                await control.ScaleServices(ScaleServicesRequest(targets=newer))
                await control.CreateService(CreateServiceRequest(spec=web("after", 1)))
                assert await running(control, "after") == 1
                busy = await on(manager, "restore", file)
                assert (busy.returncode, "another manager is using" in busy.stderr) == (1, True)
                assert manager.stop() == 0
                again = await on(manager, "restore", file)
                assert (again.returncode, "empty" in again.stderr) == (1, True)
                shutil.rmtree(manager.state / "etcd")
                restored = await on(manager, "restore", file)
                assert restored.returncode == 0, restored.stderr
                manager.start()
                control = await manager.ready()
                assert (await control.GetCluster(GetClusterRequest())).id == cluster.id
                assert await running(control, "web") == 3
                services = (await control.ListServices(ListServicesRequest())).services
                assert [each.service.spec.name for each in services] == ["web"]

                async def as_then() -> bool:
                    return set(agent.tasks) == of_then

                await until(as_then, "the node has the tasks of the snapshot, and no newer ones")

    asyncio.run(scenario())
