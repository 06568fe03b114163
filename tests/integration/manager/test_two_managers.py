"""Two managers of one cluster on an etcd that neither of them runs."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from grpc import aio

from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateServiceRequest,
    GetClusterRequest,
    GetNetworkRequest,
    GetServiceRequest,
    ListNodesRequest,
    ListServicesRequest,
    UpdateServiceRequest,
    WatchServicesRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateStatus
from tests.integration.manager.manager_process import (
    ManagerProcess,
    join_token_of,
    shared_etcd,
    until,
    until_registered,
)
from tests.integration.manager.scripted_agents import scripted_agents


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


Scenario = Callable[[ManagerProcess, Any, ManagerProcess, Any], Awaitable[None]]


def with_two(tmp_path: Path, scenario: Scenario) -> None:
    """Run a scenario with two managers, which know each other, and their APIs; the first one leads."""

    async def run() -> None:
        with shared_etcd(tmp_path) as endpoint:
            first, second = (ManagerProcess(tmp_path / name / "manager") for name in ("one", "two"))
            try:
                for manager in (first, second):
                    manager.state.mkdir(parents=True, mode=0o700)
                    manager.more = ("--etcd-endpoint", endpoint)
                first.start()
                one = await first.ready()
                shutil.copy2(first.state / "cluster.key", second.state / "cluster.key")
                second.start()
                two = await second.ready()
                await until_registered(2, one, two)
                await scenario(first, one, second, two)
            finally:
                first.end()
                second.end()

    asyncio.run(run())


def test_names_are_unique_and_a_lost_leader_is_followed(tmp_path: Path) -> None:
    with_two(tmp_path, _names_and_loss)


async def _names_and_loss(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
    made = await asyncio.gather(*(create(control, f"s{number}") for number in range(20) for control in (one, two)))
    assert sum(made) == 20
    token = await join_token_of(one)
    async with scripted_agents(second, token, "h1"):
        first.kill()

        async def followed() -> bool:
            view = await two.GetCluster(GetClusterRequest())
            nodes = (await two.ListNodes(ListNodesRequest())).nodes
            return len(view.join_addresses) == 1 and any(node.status.state == NodeStatus.READY for node in nodes)

        await until(followed, "the second manager alone")
        await two.CreateService(CreateServiceRequest(spec=web("after", 2)))
        async for update in two.WatchServices(WatchServicesRequest(services=["after"]), timeout=60):
            running = update.services[0].running
        assert running == 2
        assert len((await two.ListServices(ListServicesRequest())).services) == 21


def test_an_update_goes_on_under_another_leader(tmp_path: Path) -> None:
    with_two(tmp_path, _update_and_loss)


async def _update_and_loss(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
    token = await join_token_of(one)
    async with scripted_agents(second, token, "h1"):
        made = (await one.CreateService(CreateServiceRequest(spec=web("web", 3)))).service
        async for _ in one.WatchServices(WatchServicesRequest(services=["web"]), timeout=60):
            pass
        spec = web("web", 3)
        spec.task.container.env.append("LEVEL=debug")
        spec.update.delay_ms, spec.update.monitor_ms = 3_000, 100
        await one.UpdateService(UpdateServiceRequest(service="web", version=made.meta.version, spec=spec))

        async def status() -> UpdateStatus:
            found: UpdateStatus = (await two.GetService(GetServiceRequest(service="web"))).status.update
            return found

        async def begun() -> bool:
            return (await status()).available_slots in (1, 2)

        await until(begun, "new tasks, and one that is yet to come")
        before = await status()
        first.kill()
        async for update in two.WatchServices(WatchServicesRequest(services=["web"]), timeout=60):
            last = update.services[0]
        assert (last.converged, last.running) == (True, 3)
        assert last.update.state == UpdateStatus.COMPLETED
        assert last.update.started_at_ms == before.started_at_ms  # the same update, not another one
        assert last.update.last_step_at_ms > before.last_step_at_ms


def test_any_manager_knows_the_progress_of_all_nodes(tmp_path: Path) -> None:
    with_two(tmp_path, _nodes_of_a_network)


async def _nodes_of_a_network(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
    token = await join_token_of(one)
    await one.CreateNetwork(CreateNetworkRequest(spec=NetworkSpec(name="front")))
    async with scripted_agents(first, token, "h1"), scripted_agents(second, token, "h2"):

        async def ready() -> bool:
            nodes = (await one.ListNodes(ListNodesRequest())).nodes
            return [node.status.state for node in nodes] == [NodeStatus.READY] * 2

        await until(ready, "both nodes")
        spec = web("web", 2)
        spec.task.networks.add(network="front")
        await one.CreateService(CreateServiceRequest(spec=spec))
        async for _ in one.WatchServices(WatchServicesRequest(services=["web"]), timeout=60):
            pass

        async def known() -> bool:
            answers = [await each.GetNetwork(GetNetworkRequest(network="front")) for each in (one, two)]
            return all([node.hostname for node in answer.nodes if node.revision] == ["h1", "h2"] for answer in answers)

        await until(known, "both managers to show both nodes")
