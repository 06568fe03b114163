"""The manager is killed at each of its fault points and started again: what was asked for is there, once and whole."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    CreateServiceRequest,
    ListTasksRequest,
    RemoveManagerRequest,
    WatchServicesRequest,
)
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.task_pb2 import TaskState
from tests.integration.faults.faulty_manager import await_death, dies_and_returns, start_with_faults
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, running_manager, until
from tests.integration.manager.scripted_agents import scripted_agents
from tests.integration.manager.test_managers_that_join import Managers, one_manager
from tests.integration.manager.test_two_managers import web
from tests.ports import free_port

CHANGES = (
    "manager.plan.decided",
    "manager.plan.committed",
    "manager.statuses.received",
    "manager.statuses.committed",
    "manager.leadership.elected",
    "manager.leadership.caught-up",
)
LEADER_OF_A_JOIN = (
    "manager.membership.peers-announced",
    "manager.membership.peers-open",
    "manager.membership.learner-added",
    "manager.membership.promoted",
)
LATER_CHANGES = ("manager.membership.address-updated", "manager.membership.removed")
KEY_ROTATION = "manager.cluster-key.reencrypted"
JOINER = ("answered", "key-saved", "pending-saved", "identity-saved", "layout-saved")
REPLICAS = 3


@pytest.mark.timeout(390)  # each step starts a manager again
def test_a_service_is_created_once_and_whole(changes_of_manager: Sequence[str], tmp_path: Path) -> None:
    async def scenario() -> None:
        # Tasks would be replaced if the node found the manager again later than it may be silent.
        async with running_manager(tmp_path, "--heartbeat-seconds", "5") as (manager, control):
            token = await join_token_of(control)
            async with scripted_agents(manager, token, "h1"):
                for number, point in enumerate(changes_of_manager):
                    await created_in_spite_of(manager, point, f"s{number}")

    asyncio.run(scenario())


async def created_in_spite_of(manager: ManagerProcess, point: str, name: str) -> None:
    async def create(control: Any) -> None:
        await control.CreateService(CreateServiceRequest(spec=web(name, REPLICAS)), timeout=60)

    control = await dies_and_returns(manager, point, create)
    try:
        await create(control)
    except aio.AioRpcError as error:
        assert error.code().name == "ALREADY_EXISTS", f"{point}: {error.details()}"
    async for update in control.WatchServices(WatchServicesRequest(services=[name]), timeout=60):
        running = update.services[0].running
    views = (await control.ListTasks(ListTasksRequest(), timeout=10)).tasks
    tasks = [view.task for view in views if view.service_name == name]
    assert running == REPLICAS, point
    assert sorted(task.slot for task in tasks if task.desired_state == TaskState.RUNNING) == [1, 2, 3], point
    assert len(tasks) == REPLICAS, f"{point}: a task was replaced"


@pytest.mark.timeout(390)  # each step starts a manager again
def test_a_new_cluster_key_is_used_for_all_data(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            for name in ("a", "b", "c"):
                secret = CreateFileRequest(spec=FileSpec(name=name), content=b"secret")
                await control.CreateSecret(secret, timeout=60)
            manager.end()
            command = [sys.executable, "-m", "manager.main", "rotate-key", "--state-directory", str(manager.state)]
            await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
            for _ in range(2):
                start_with_faults(manager, f"{KEY_ROTATION}=kill")
                await await_death(manager, KEY_ROTATION)
            manager.start()

            async def done() -> bool:
                return "all data is encrypted with the new cluster key" in manager.log

            await until(done, "the rest is encrypted anew")
            (manager.state / "cluster.key.old").unlink()
            manager.end()
            manager.start()
            control = await manager.ready()
            await control.CreateService(CreateServiceRequest(spec=web("uses", 1)), timeout=60)
            assert "cannot re-encrypt" not in manager.log

    asyncio.run(scenario())


@pytest.mark.timeout(390)  # each step starts a manager again
def test_a_manager_joins_while_the_leader_dies_at_each_step(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_manager(tmp_path) as managers:
            leader = managers.processes["m1"]
            joiner = managers.make("m2", "--join", leader.joining, "--token", await managers.token())
            leader.end()
            start_with_faults(leader, f"{LEADER_OF_A_JOIN[0]}=kill")
            await leader.ready()
            joiner.start()
            for point, following in zip(LEADER_OF_A_JOIN, (*LEADER_OF_A_JOIN[1:], ""), strict=True):
                await await_death(leader, point)
                start_with_faults(leader, f"{following}=kill" if following else "")
            managers.controls["m1"] = await leader.ready()
            managers.controls["m2"] = await joiner.ready()
            await until(lambda: managers.votes("m2"), "m2 votes", 60)
            await managers.until_created("m2", "after")
            await leader_dies_at_later_changes(managers)

    asyncio.run(scenario())


async def leader_dies_at_later_changes(managers: Managers) -> None:
    """Three, so that two go on while one is away: the third one moves, and is removed. Whoever leads has the fault."""
    await managers.join("m3")
    address = f"127.0.0.1:{free_port()}"
    await with_faults_everywhere(managers, LATER_CHANGES[0], ("m1", "m2"))
    moved = managers.processes["m3"]
    moved.end()
    moved.more = (*moved.more, "--peer-address", address)
    moved.start()
    await one_dies_and_returns(managers, LATER_CHANGES[0], ("m1", "m2"))

    async def is_moved() -> bool:
        return (await managers.views())["m3"].membership.peer_address == address

    await until(is_moved, "m3 is at its other address", 60)
    identifier = (await managers.views())["m3"].manager.id
    await with_faults_everywhere(managers, LATER_CHANGES[1], ("m1", "m2"))
    moved.end()
    request = RemoveManagerRequest(manager=identifier, force=True)
    with suppress(aio.AioRpcError):  # its answer waits for the leader, which dies
        await managers.controls["m1"].RemoveManager(request, timeout=30)
    await one_dies_and_returns(managers, LATER_CHANGES[1], ("m1", "m2"))

    async def is_removed() -> bool:
        return set(await managers.views()) == {"m1", "m2"}

    await until(is_removed, "m3 is removed", 60)
    await managers.until_created("m1", "at-the-end")


async def with_faults_everywhere(managers: Managers, point: str, names: tuple[str, ...]) -> None:
    """Restart managers, one after the other, so that the one that leads dies at the point."""
    for name in names:
        managers.processes[name].end()
        start_with_faults(managers.processes[name], f"{point}=kill")
        managers.controls[name] = await managers.processes[name].ready()


async def one_dies_and_returns(managers: Managers, point: str, names: tuple[str, ...]) -> None:
    """The one that leads; all of them are without faults then."""

    async def is_dead() -> bool:
        return any(managers.processes[name].process.poll() is not None for name in names)  # type: ignore[union-attr]

    await until(is_dead, f"the leader dies at {point}", 60)
    for name in names:
        managers.processes[name].end()
        managers.processes[name].start()
    for name in names:
        managers.controls[name] = await managers.processes[name].ready()


@pytest.mark.timeout(390)  # each step starts a manager again
def test_a_joining_manager_dies_at_each_step_and_joins(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_manager(tmp_path) as managers:
            token = await managers.token()
            joiner = managers.make("m2", "--join", managers.processes["m1"].joining, "--token", token)
            for point in JOINER:
                start_with_faults(joiner, f"manager.join.{point}=kill")
                await await_death(joiner, f"manager.join.{point}")
            joiner.start()
            managers.controls["m2"] = await joiner.ready()
            await until(lambda: managers.votes("m2"), "m2 votes", 60)
            await managers.until_created("m2", "after")
            assert len(await managers.views()) == 2
            assert not (joiner.state / "joining").exists(), "its private keys are in one place"

    asyncio.run(scenario())
