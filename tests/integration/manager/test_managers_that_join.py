"""Managers with an etcd of their own: they join by a token, are lost and replaced, removed, and recovered."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from shoal.api.v1.cluster_pb2 import JoinToken, ManagerMembership
from shoal.api.v1.control_pb2 import (
    CreateJoinTokenRequest,
    CreateNetworkRequest,
    GetNetworkRequest,
    ListManagersRequest,
    ListNetworksRequest,
    ManagerView,
    PromoteManagerRequest,
    RemoveManagerRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, until
from tests.ports import free_port

VOTER = ManagerMembership.VOTER
PASSING = ("*:0", "lock", "*.new", "*.tmp")
"""Sockets, and what a running manager and its etcd write and rename: it may be gone when it is copied."""


@dataclass
class Managers:
    """The managers of one cluster, by name, and their APIs."""

    root: Path
    processes: dict[str, ManagerProcess] = field(default_factory=dict)
    controls: dict[str, Any] = field(default_factory=dict)

    def make(self, name: str, *more: str) -> ManagerProcess:
        process = ManagerProcess(self.root / name / "manager")
        process.more = ("--peer-address", f"127.0.0.1:{free_port()}", *more)
        process.state.mkdir(parents=True, mode=0o700)
        self.processes[name] = process
        return process

    async def token(self, at: str = "m1") -> str:
        request = CreateJoinTokenRequest(role=JoinToken.MANAGER)
        return str((await self.controls[at].CreateJoinToken(request, timeout=10)).token)

    async def join(self, name: str, *, at: str = "m1") -> None:
        joining = self.processes[at].joining
        process = self.make(name, "--join", joining, "--token", await self.token(at))
        process.start()
        self.controls[name] = await process.ready()
        for each in (name, at):
            await until(lambda each=each: self.votes(name, each), f"{each} knows that {name} votes")  # type: ignore[misc]  # bound
            await until(lambda each=each: self.votes(at, each), f"{each} knows that {at} votes")  # type: ignore[misc]  # bound

    async def views(self, at: str = "m1") -> dict[str, ManagerView]:
        """By name; a manager without an address by its id."""
        response = await self.controls[at].ListManagers(ListManagersRequest(), timeout=10)
        names = {process.api: name for name, process in self.processes.items()}
        return {names.get(each.manager.api_address, each.manager.id): each for each in response.managers}

    async def votes(self, name: str, at: str = "m1") -> bool:
        view = (await self.views(at)).get(name)
        return view is not None and view.alive and view.membership.state == VOTER

    async def create(self, at: str, network: str) -> bool:
        try:
            await self.controls[at].CreateNetwork(CreateNetworkRequest(spec=NetworkSpec(name=network)), timeout=10)
        except aio.AioRpcError as error:
            return error.code() is StatusCode.ALREADY_EXISTS
        return True

    async def until_created(self, at: str, network: str) -> None:
        """A write fails now and then where etcd has just changed its members, or elects a leader."""
        await until(lambda: self.create(at, network), f"{network} is created at {at}")

    async def until_listed(self, at: str, *networks: str) -> None:
        """A manager has what was written at another one a moment later."""

        async def are_listed() -> bool:
            return set(networks) <= await self.networks(at)

        await until(are_listed, f"{at} has {', '.join(networks)}")

    async def remove(self, at: str, identifier: str, *, force: bool = False) -> None:
        """The call may end before the leader has removed it; the leader goes on."""
        try:
            await self.controls[at].RemoveManager(RemoveManagerRequest(manager=identifier, force=force), timeout=30)
        except aio.AioRpcError as error:
            assert "it will be, as soon as that is possible" in (error.details() or ""), error

        async def is_gone() -> bool:
            return identifier not in {each.manager.id for each in (await self.views(at)).values()}

        await until(is_gone, f"{at} does not list {identifier}")

    async def networks(self, at: str) -> set[str]:
        found = (await self.controls[at].ListNetworks(ListNetworksRequest(), timeout=10)).networks
        return {each.network.spec.name for each in found}

    async def version(self, at: str, network: str) -> int:
        request = GetNetworkRequest(network=network)
        return int((await self.controls[at].GetNetwork(request, timeout=10)).network.meta.version)


@asynccontextmanager
async def one_manager(tmp_path: Path) -> AsyncGenerator[Managers]:
    managers = Managers(tmp_path)
    try:
        managers.make("m1").start()
        managers.controls["m1"] = await managers.processes["m1"].ready()
        await until(lambda: managers.votes("m1"), "m1 is recorded")
        yield managers
    finally:
        for process in managers.processes.values():
            process.end()


@pytest.mark.timeout(390)
def test_three_managers_lose_one_and_replace_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_manager(tmp_path) as managers:
            await managers.until_created("m1", "before")
            await managers.join("m2")
            assert await warning(managers) == "2 managers tolerate 0 failures"
            await managers.join("m3")
            assert "before" in await managers.networks("m3")
            assert await warning(managers) == ""
            managers.processes["m2"].kill()
            await until(lambda: managers.create("m3", "after"), "a write is made without m2")
            lost = (await managers.views())["m2"].manager.id
            await until(lambda: is_down(managers, lost), "m2 is down")
            await managers.remove("m1", lost)
            await managers.join("m4")
            assert {"before", "after"} <= await managers.networks("m4")
            # A manager starts again by itself, whatever its token has become, also at another address.
            moved = managers.processes["m3"]
            moved.end()
            moved.more = (*moved.more, "--peer-address", address := f"127.0.0.1:{free_port()}")
            moved.start()
            managers.controls["m3"] = await moved.ready()
            await until(lambda: is_at(managers, "m3", address), "m3 is at its other address")
            # The one that was removed says so when it returns, and creates no cluster of its own.
            returned = managers.processes["m2"]
            for _ in range(2):
                returned.start()
                assert returned.process is not None
                assert await asyncio.to_thread(returned.process.wait, 60) == 3
            assert "this manager was removed from its cluster" in returned.log
            returned.more = (*returned.more, "--token", await managers.token())
            returned.start()
            managers.controls["m2"] = await returned.ready()
            await until(lambda: managers.votes("m2"), "m2 votes again")

    asyncio.run(scenario())


async def is_at(managers: Managers, name: str, address: str) -> bool:
    return (await managers.views())[name].membership.peer_address == address


async def warning(managers: Managers) -> str:
    found = str((await managers.controls["m1"].ListManagers(ListManagersRequest(), timeout=10)).warning)
    return found.partition(":")[0]


async def is_down(managers: Managers, identifier: str) -> bool:
    views = await managers.controls["m1"].ListManagers(ListManagersRequest(), timeout=10)
    return not next(each.alive for each in views.managers if each.manager.id == identifier)


def test_a_running_leader_is_removed_and_the_only_manager_never(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_manager(tmp_path) as managers:
            first = (await managers.views())["m1"].manager.id
            with pytest.raises(aio.AioRpcError, match="the only manager"):
                await managers.controls["m1"].RemoveManager(RemoveManagerRequest(manager=first, force=True))
            with pytest.raises(aio.AioRpcError, match="already votes"):
                await managers.controls["m1"].PromoteManager(PromoteManagerRequest(manager=first))
            await managers.join("m2")
            with pytest.raises(aio.AioRpcError, match="is running; stop it first"):
                await managers.controls["m2"].RemoveManager(RemoveManagerRequest(manager=first))
            await managers.remove("m2", first, force=True)
            process = managers.processes["m1"].process
            assert process is not None
            assert await asyncio.to_thread(process.wait, 60) == 3
            await managers.until_created("m2", "after")
            assert set(await managers.views("m2")) == {"m2"}

    asyncio.run(scenario())


def test_tokens_are_for_one_role(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_manager(tmp_path) as managers:
            token = await join_token_of(managers.controls["m1"])
            process = managers.make("m2", "--join", managers.processes["m1"].joining, "--token", token)
            process.start()
            assert process.process is not None
            assert await asyncio.to_thread(process.process.wait, 60) == 1
            assert "is for nodes, not for managers" in process.log
            assert not (process.state / "cluster.key").exists()

    asyncio.run(scenario())


@pytest.mark.timeout(390)
def test_the_last_of_two_managers_is_recovered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_manager(tmp_path) as managers:
            await managers.join("m2")
            await managers.until_created("m1", "before")
            await until(lambda: knows_others(managers.processes["m1"]), "m1 has written down the other managers")
            version = await managers.version("m1", "before")
            managers.processes["m1"].end()
            assert "responds: two halves" in recover(managers.processes["m1"])
            managers.processes["m2"].kill()
            assert "is the only manager now" in recover(managers.processes["m1"])
            managers.processes["m1"].start()
            managers.controls["m1"] = await managers.processes["m1"].ready()
            await managers.until_created("m1", "after")
            assert "before" in await managers.networks("m1")
            assert await managers.version("m1", "before") > version, "the lost manager may have given the next ones"
            await managers.join("m3")

    asyncio.run(scenario())


@pytest.mark.timeout(390)
def test_a_copied_state_directory_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_manager(tmp_path) as managers:
            await managers.join("m2")
            await until(lambda: knows_others(managers.processes["m2"]), "m2 has written down the other managers")
            copy = managers.make("copy")
            copy.state.rmdir()
            shutil.copytree(managers.processes["m2"].state, copy.state, ignore=shutil.ignore_patterns(*PASSING))
            copy.start()
            assert copy.process is not None
            assert await asyncio.to_thread(copy.process.wait, 60) == 1
            assert "is a copy; delete this one" in copy.log
            await managers.until_created("m1", "after")

    asyncio.run(scenario())


async def knows_others(manager: ManagerProcess) -> bool:
    path = manager.state / "managers.json"
    return path.exists() and len(path.read_text()) > 2


def recover(manager: ManagerProcess) -> str:
    command = [sys.executable, "-m", "manager.main", "recover", "--force", "--state-directory", str(manager.state)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr
