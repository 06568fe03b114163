"""A manager is lost while it serves the command line: streams go on at another one, changes say what is known."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cli.client import Client
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    GetClusterRequest,
    WatchEventsRequest,
    WatchEventsResponse,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.contexts.context_store import ContextStore
from shoal.errors import ShoalError, Timeout
from shoal.identity.identity import Identity
from shoal.resumption.event_resumption import EventResumption
from tests.integration.manager.manager_process import ManagerProcess, until
from tests.integration.manager.test_two_managers import with_two

PING_BYTES = 60
"""More than gRPC's own ping on an idle connection, of which only one is under way; less than a request. With TLS."""


def client_of(tmp_path: Path, *managers: ManagerProcess) -> Client:
    """As the command line has it, of a context with their addresses."""
    identity = Identity.load(managers[0].state / "admin")
    name = "-".join(each.api.rpartition(":")[2] for each in managers)
    return Client(ContextStore(tmp_path / "contexts").create(name, identity, [each.api for each in managers]))


def network(name: str) -> CreateNetworkRequest:
    return CreateNetworkRequest(spec=NetworkSpec(name=name))


class FollowedEvents:
    """Networks that are created, as `shoal events` sees them."""

    def __init__(self, client: Client) -> None:
        self.names: list[str] = []
        self._client = client
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        request = WatchEventsRequest(types=["network"], since_ms=1)
        answers = self._client.resumed_stream(self._client.control.WatchEvents, EventResumption(request, started_ms=1))
        with suppress(ShoalError):  # the client is closed
            for answer in answers:
                self._note(answer)

    def _note(self, answer: WatchEventsResponse) -> None:
        if answer.event.action == "create":
            self.names.append(answer.event.name)

    async def shows(self, *names: str) -> None:
        async def all_shown() -> bool:
            return set(names) <= set(self.names)

        await until(all_shown, f"events of {names} are shown")


def test_events_go_on_when_a_manager_is_killed_and_when_one_ends(tmp_path: Path) -> None:
    async def scenario(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
        with client_of(tmp_path, first, second) as client:
            events = FollowedEvents(client)
            await one.CreateNetwork(network("a"))
            await events.shows("a")
            first.kill()
            await two.CreateNetwork(network("b"))
            await events.shows("a", "b")
            first.start()
            one = await first.ready()
            assert await asyncio.to_thread(second.stop) == 0
            await one.CreateNetwork(network("c"))
            await events.shows("a", "b", "c")
            assert events.names == ["a", "b", "c"]

    with_two(tmp_path, scenario)


def test_a_read_is_answered_by_another_manager_and_a_change_says_that_it_may_have_been_made(tmp_path: Path) -> None:
    async def scenario(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
        with client_of(tmp_path, first, second) as both, client_of(tmp_path, first) as alone:
            for each in (both, alone):  # connected to all of them
                await asyncio.to_thread(each.manager_addresses)
                await asyncio.to_thread(each.manager_addresses)
            first.pause()
            reads = [begin(lambda: both.call(both.control.GetCluster, GetClusterRequest())) for _ in range(2)]
            change = begin(lambda: alone.call(alone.control.CreateNetwork, network("n")))
            await until(lambda: has_unread(first, 2), "a read and the change have reached the manager that is paused")
            first.kill()
            for read in reads:
                assert (await read).id
            with pytest.raises(Timeout, match="may have been made: check before"):
                await change

    with_two(tmp_path, scenario)


async def has_unread(manager: ManagerProcess, requests: int) -> bool:
    """Whether requests on so many connections wait for a manager that is paused."""
    port = int(manager.api.rpartition(":")[2])
    rows = [row.split() for each in ("tcp", "tcp6") for row in Path(f"/proc/net/{each}").read_text().splitlines()[1:]]
    waiting = [int(row[4].partition(":")[2], 16) for row in rows if int(row[1].rpartition(":")[2], 16) == port]
    return sum(size > PING_BYTES for size in waiting) >= requests


def begin(call: Callable[[], Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(asyncio.to_thread(call))
