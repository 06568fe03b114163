"""Events after a manager's end: stopped, killed, and served by a manager that was not there when they happened."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import CreateNetworkRequest, WatchEventsRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from tests.integration.manager.manager_process import ManagerProcess, running_manager, shared_etcd, until


async def reported(control: Any) -> list[str]:
    """Names of the networks whose creation is in the events, of all time."""
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
            assert await reported(control) == ["a", "b"]
            await create(control, "c")

            async def all_reported() -> bool:
                return await reported(control) == ["a", "b", "c"]

            await until(all_reported, "events of both lives")

    asyncio.run(scenario())


Scenario = Callable[[ManagerProcess, ManagerProcess], Awaitable[None]]


def with_two_managers(directory: Path, scenario: Scenario) -> None:
    """Of one etcd, neither of them started."""

    async def run(endpoint: str) -> None:
        first, second = (ManagerProcess(directory / name / "manager") for name in ("one", "two"))
        try:
            for manager in (first, second):
                manager.state.mkdir(parents=True, mode=0o700)
                manager.more = ("--etcd-endpoint", endpoint)
            await scenario(first, second)
        finally:
            first.end()
            second.end()

    with shared_etcd(directory) as endpoint:
        asyncio.run(run(endpoint))


async def leader_and_another(first: ManagerProcess, second: ManagerProcess, *names: str) -> tuple[Any, Any]:
    """Both started; the first one leads, and has made the networks before the second one was there."""
    first.start()
    one = await first.ready()
    await create(one, *names)
    shutil.copy2(first.state / "cluster.key", second.state / "cluster.key")
    second.start()
    return one, await second.ready()


async def until_reported(names: list[str], *controls: Any) -> None:
    async def is_reported() -> bool:
        return all([await reported(control) == names for control in controls])

    await until(is_reported, f"events of {names}", 60)


def test_another_manager_serves_events_of_a_killed_leader(tmp_path: Path) -> None:
    async def scenario(first: ManagerProcess, second: ManagerProcess) -> None:
        _, two = await leader_and_another(first, second, "a", "b")
        await until_reported(["a", "b"], two)
        first.kill()
        await create(two, "c")
        first.start()
        one = await first.ready()
        await until_reported(["a", "b", "c"], one, two)

    with_two_managers(tmp_path, scenario)


def test_a_killed_leader_that_leads_again_keeps_what_happened_without_it(tmp_path: Path) -> None:
    """As it does where it is started again at once."""

    async def scenario(first: ManagerProcess, second: ManagerProcess) -> None:
        _, two = await leader_and_another(first, second, "a")
        await until_reported(["a"], two)
        first.kill()
        await create(two, "b", "c")
        await until_reported(["a", "b", "c"], two)  # else it may be stopped before its event log has seen the last one
        second.pause()
        first.start()

        async def leads_again() -> bool:
            return first.log.count("elected leader at revision") >= 2

        await until(leads_again, "the first one to lead again", 60)
        second.resume()
        await until_reported(["a", "b", "c"], await first.ready())

    with_two_managers(tmp_path, scenario)
