"""Two managers of one cluster on an etcd that neither of them runs."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from grpc import aio

from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetClusterRequest,
    ListNodesRequest,
    ListServicesRequest,
    WatchServicesRequest,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from tests.integration.manager.manager_process import ManagerProcess, scripted_agents, shared_etcd, until


def web(name: str, replicas: int) -> ServiceSpec:
    spec = ServiceSpec(name=name)
    spec.task.container.image = "registry.test/hello@sha256:" + "b" * 64
    spec.replicated.replicas = replicas
    return spec


async def create(control: Any, name: str) -> bool:
    try:
        await control.CreateService(CreateServiceRequest(spec=web(name, 0)))
    except aio.AioRpcError:
        return False
    return True


def test_names_are_unique_and_a_lost_leader_is_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        with shared_etcd(tmp_path) as endpoint:
            first, second = (ManagerProcess(tmp_path / name / "manager") for name in ("one", "two"))
            try:
                await _scenario(first, second, endpoint)
            finally:
                first.end()
                second.end()

    asyncio.run(scenario())


async def _scenario(first: ManagerProcess, second: ManagerProcess, endpoint: str) -> None:
    for manager in (first, second):
        manager.state.mkdir(parents=True, mode=0o700)
        manager.more = ("--etcd-endpoint", endpoint)
    first.start()
    one = await first.ready()
    shutil.copy2(first.state / "cluster.key", second.state / "cluster.key")
    second.start()
    two = await second.ready()
    made = await asyncio.gather(*(create(control, f"s{number}") for number in range(20) for control in (one, two)))
    assert sum(made) == 20
    token = (await one.GetCluster(GetClusterRequest())).agent_join_token
    async with scripted_agents(second, token, "h1"):
        first.kill()

        async def followed() -> bool:
            view = await two.GetCluster(GetClusterRequest())
            nodes = (await two.ListNodes(ListNodesRequest())).nodes
            return len(view.join_addresses) == 1 and any(node.status.state == NodeStatus.READY for node in nodes)

        await until(followed, "the second manager alone", 40)
        await two.CreateService(CreateServiceRequest(spec=web("after", 2)))
        async for update in two.WatchServices(WatchServicesRequest(services=["after"]), timeout=40):
            running = update.services[0].running
        assert running == 2
        assert len((await two.ListServices(ListServicesRequest())).services) == 21
