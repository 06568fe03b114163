"""Events after a manager's end: stopped, killed, and told by a manager that was not there when they happened."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import CreateNetworkRequest, WatchEventsRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from tests.integration.manager.manager_process import ManagerProcess, running_manager, shared_etcd, until


async def told(control: Any) -> list[str]:
    """Names of the networks whose creation is told, of all time."""
    now_ms = time.time_ns() // 1_000_000
    request = WatchEventsRequest(since_ms=1, until_ms=now_ms, types=["network"], actions=["create"])
    return [answer.event.name async for answer in control.WatchEvents(request, timeout=20) if answer.HasField("event")]


async def create(control: Any, *names: str) -> None:
    for name in names:
        await control.CreateNetwork(CreateNetworkRequest(spec=NetworkSpec(name=name)))


def test_events_outlive_the_only_manager_when_it_is_stopped(tmp_path: Path) -> None:
    """What it has not kept yet, it keeps then."""

    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            await create(control, "a", "b")
            assert manager.stop() == 0
            manager.start()
            control = await manager.ready()
            assert await told(control) == ["a", "b"]
            await create(control, "c")

            async def all_told() -> bool:
                return await told(control) == ["a", "b", "c"]

            await until(all_told, "events of both lives")

    asyncio.run(scenario())


def test_another_manager_tells_what_a_killed_leader_has_kept(tmp_path: Path) -> None:
    async def scenario(first: ManagerProcess, second: ManagerProcess) -> None:
        first.start()
        one = await first.ready()
        await create(one, "a", "b")
        shutil.copy2(first.state / "cluster.key", second.state / "cluster.key")
        second.start()
        two = await second.ready()

        async def kept() -> bool:
            return await told(two) == ["a", "b"]

        await until(kept, "events of before its start", 30)
        first.kill()
        await create(two, "c")
        first.start()
        one = await first.ready()

        async def all_kept() -> bool:
            return await told(one) == await told(two) == ["a", "b", "c"]

        await until(all_kept, "events of both leaders", 60)

    async def run(endpoint: str) -> None:
        first, second = (ManagerProcess(tmp_path / name / "manager") for name in ("one", "two"))
        try:
            for manager in (first, second):
                manager.state.mkdir(parents=True, mode=0o700)
                manager.more = ("--etcd-endpoint", endpoint)
            await scenario(first, second)
        finally:
            first.end()
            second.end()

    with shared_etcd(tmp_path) as endpoint:
        asyncio.run(run(endpoint))
