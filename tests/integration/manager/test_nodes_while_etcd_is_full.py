"""Etcd is full while nodes look for another manager: the leader, out of their reach, gives up only one that is gone."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import CompactStoreRequest, ListManagersRequest, ListNodesRequest
from shoal.api.v1.node_pb2 import NodeStatus
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, shared_etcd, until
from tests.integration.manager.scripted_agents import scripted_agents
from tests.integration.manager.test_foreign_etcd import fill

RETRY_SECONDS = 0.5
"""An agent's attempts, well within its rate limit and the time after which a node is lost."""
HEARTBEAT = ("--heartbeat-seconds", "2")


@asynccontextmanager
async def three_managers(directory: Path) -> AsyncGenerator[tuple[Any, list[ManagerProcess]]]:
    """The API of the leader, which is the first of the managers; their etcd is soon full."""
    with shared_etcd(directory, f"--quota-backend-bytes={16 << 20}") as endpoint:
        managers = [ManagerProcess(directory / name / "manager") for name in ("leader", "second", "third")]
        try:
            for manager in managers:
                manager.more = ("--etcd-endpoint", endpoint, *HEARTBEAT)
                manager.state.mkdir(parents=True, mode=0o700)
                if manager is not managers[0]:
                    shutil.copy2(managers[0].state / "cluster.key", manager.state / "cluster.key")
                manager.start()
                await manager.ready()
            yield await managers[0].ready(), managers
        finally:
            for manager in managers:
                manager.end()


async def statuses(control: Any) -> dict[str, NodeStatus]:
    return {each.status.node_id: each.status for each in (await control.ListNodes(ListNodesRequest())).nodes}


async def are_ready(control: Any, *node_ids: str) -> bool:
    found = await statuses(control)
    return all(each in found and found[each].state == NodeStatus.READY for each in node_ids)


async def address_of(control: Any, manager_id: str) -> str:
    views = (await control.ListManagers(ListManagersRequest())).managers
    return next(str(view.manager.api_address) for view in views if view.manager.id == manager_id)


async def scenario(directory: Path) -> None:
    async with three_managers(directory) as (control, (leader, second, third)):
        token = await join_token_of(control)
        async with scripted_agents(second, token, "h1", others=[third]) as (moving,):
            moving.retry_seconds = RETRY_SECONDS
            await until(lambda: are_ready(control, moving.node_id), "the first node")
            had = await address_of(control, (await statuses(control))[moving.node_id].manager_id)
            lost = second if second.api == had else third
            async with scripted_agents(lost, token, "h2") as (gone,):
                await until(lambda: are_ready(control, moving.node_id, gone.node_id), "both nodes")
                await fill(control)
                lost.kill()

                async def would_be_lost() -> bool:
                    return leader.log.count(f"cannot mark node {gone.node_id} as DOWN yet") >= 2

                await until(would_be_lost, "the leader gives up the node that reaches no manager")
                assert f"cannot mark node {moving.node_id}" not in leader.log
                await control.CompactStore(CompactStoreRequest(), timeout=60)

                async def is_back() -> bool:
                    found = await statuses(control)
                    return await are_ready(control, moving.node_id) and found[gone.node_id].state == NodeStatus.DOWN

                await until(is_back, "one node has its session with the other manager, the other one is lost")
                assert f"node {moving.node_id} is DOWN" not in leader.log
                assert f"node {moving.node_id} is UNKNOWN" not in leader.log


def test_a_node_that_reaches_only_a_follower_is_not_lost(tmp_path: Path) -> None:
    asyncio.run(scenario(tmp_path))
