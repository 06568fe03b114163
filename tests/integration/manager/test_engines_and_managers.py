"""An engine before three managers that are killed and started again: what was written is there when it is read."""

import asyncio
import random
import shutil
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import ListNodesRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.identity.identity import Identity
from tests.integration.manager.engine_process import EngineProcess
from tests.integration.manager.manager_process import (
    ManagerProcess,
    join_token_of,
    shared_etcd,
    until,
    until_registered,
)
from tests.integration.manager.scripted_agents import scripted_agents

ROUND_SECONDS, LONGEST_SECONDS = 15.0, 120.0
DOWN_SECONDS, UP_SECONDS = 1.0, 1.5
UNAVAILABLE = 503
INTERNAL = 500

Scenario = Callable[[list[ManagerProcess], EngineProcess, EngineProcess], None]


@asynccontextmanager
async def three_managers(directory: Path) -> AsyncGenerator[list[ManagerProcess]]:
    """On an etcd of nobody's own."""
    with shared_etcd(directory) as endpoint:
        managers = [ManagerProcess(directory / name / "manager") for name in ("one", "two", "three")]
        try:
            for manager in managers:
                manager.state.mkdir(parents=True, mode=0o700)
                # A node whose manager was killed is not to be down before it has a session with another one.
                manager.more = ("--etcd-endpoint", endpoint, "--heartbeat-seconds", "2")
                if manager is not managers[0]:
                    shutil.copy2(managers[0].state / "cluster.key", manager.state / "cluster.key")
                manager.start()
                await manager.ready()
            await until_registered(3, *[await each.ready() for each in managers])
            yield managers
        finally:
            for manager in managers:
                manager.end()


def with_two_engines(directory: Path, scenario: Scenario) -> None:
    """Run a scenario, in a thread, with two engines before three managers, and a node whose containers only seem to
    run."""

    async def run() -> None:
        async with three_managers(directory) as managers:
            controls = [await each.ready() for each in managers]
            token = await join_token_of(controls[0])
            async with scripted_agents(managers[0], token, "h1", others=managers[1:]):
                await until(lambda: are_ready(controls), "the node is ready, and all managers know it")
                engines = [EngineProcess(directory / name) for name in ("engine1", "engine2")]
                try:
                    for engine in engines:
                        identity = Identity.load(managers[0].state / "engine")
                        engine.create_context(identity, [each.api for each in managers])
                        await asyncio.to_thread(engine.start)
                    await asyncio.to_thread(scenario, managers, *engines)
                finally:
                    for engine in engines:
                        engine.end()

    asyncio.run(run())


async def are_ready(controls: list[Any]) -> bool:
    answers = [await each.ListNodes(ListNodesRequest()) for each in controls]
    return all([node.status.state for node in answer.nodes] == [NodeStatus.READY] for answer in answers)


@contextmanager
def killing(managers: list[ManagerProcess]) -> Iterator[list[int]]:
    """Kill one after another, and start each again, until the exit; two are there at any time. How many were killed."""
    stop, kills = threading.Event(), [0]

    def work() -> None:
        while not stop.wait(UP_SECONDS):
            manager = managers[kills[0] % len(managers)]
            manager.kill()
            kills[0] += 1
            stop.wait(DOWN_SECONDS)
            manager.start()
            while not _listens(manager) and not stop.wait(0.1):
                pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield kills
    finally:
        stop.set()
        thread.join()


def _listens(manager: ManagerProcess) -> bool:
    host, _, port = manager.api.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


class Client:
    """What one client does in a row. A write that no manager answers is given up; a read is always answered."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine
        self.rounds = self.unanswered = 0

    def write(self, method: str, target: str, body: object = None) -> bool:
        """Whether it is done."""
        status, document = self._engine.send(method, target, body)
        if status == UNAVAILABLE or (status == INTERNAL and "may have been made" in document["message"]):
            self.unanswered += 1
            return False
        assert status in (200, 201, 204), (method, target, status, document)
        return True

    def read(self, target: str, status: int = 200) -> Any:
        found, document = self._engine.send("GET", target)
        assert found == status, (target, found, document)
        return document

    def containers(self, name: str) -> None:
        """Create, start, look, rename, look, remove, look."""
        if not self.write("POST", f"/containers/create?name={name}", {"Image": IMAGE}):
            return
        document = self.read(f"/containers/{name}/json")
        assert document["State"]["Status"] == "created"
        if not self.write("POST", f"/containers/{name}/start"):
            return
        document = self.read(f"/containers/{name}/json")
        assert document["State"]["Running"], document["State"]
        listed = self.read("/containers/json")
        assert f"/{name}" in [each["Names"][0] for each in listed]
        if self.write("POST", f"/containers/{name}/rename?name={name}b"):
            self.read(f"/containers/{name}b/json")
            self.read(f"/containers/{name}/json", 404)
        self.rounds += 1

    def networks(self, name: str) -> None:
        """Create, look, remove, look."""
        if not self.write("POST", "/networks/create", {"Name": name}):
            return
        self.read(f"/networks/{name}")
        if self.write("DELETE", f"/networks/{name}"):
            self.read(f"/networks/{name}", 404)
            listed = self.read("/networks")
            assert name not in [each["Name"] for each in listed]
        self.rounds += 1

    def secrets(self, name: str) -> None:
        """Create, look, remove, look."""
        if not self.write("POST", "/secrets/create", {"Name": name, "Data": "eA=="}):
            return
        self.read(f"/secrets/{name}")
        if self.write("DELETE", f"/secrets/{name}"):
            self.read(f"/secrets/{name}", 404)
        self.rounds += 1


IMAGE = "registry.test/hello@sha256:" + "b" * 64


def test_reads_follow_writes_while_managers_are_killed_and_the_engine_too(tmp_path: Path) -> None:
    with_two_engines(tmp_path, _kill_managers)


def _kill_managers(managers: list[ManagerProcess], first: EngineProcess, _: EngineProcess) -> None:
    client, rng = Client(first), random.Random(5)
    with killing(managers) as kills:
        begin, number = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < ROUND_SECONDS or (kills[0] < 2 and passed < LONGEST_SECONDS):
            number += 1
            getattr(client, rng.choice(["containers", "networks", "secrets"]))(f"n{number}")
            if number % 20 == 0:  # it knows of nothing then, but what clients read next is no older
                first.kill()
                first.start()
    assert kills[0] >= 2
    assert client.rounds > 2 * client.unanswered, (client.rounds, client.unanswered)


def test_engines_behind_a_balancer_answer_the_same(tmp_path: Path) -> None:
    with_two_engines(tmp_path, _compare)


def _compare(managers: list[ManagerProcess], first: EngineProcess, second: EngineProcess) -> None:
    client = Client(first)
    for number in range(5):
        client.networks(f"n{number}")
        assert client.write("POST", "/containers/create", {"Image": IMAGE, "Labels": {"n": str(number)}})
    assert client.write("POST", "/volumes/create", {"Name": "data"})
    managers[0].kill()
    for target in ("/containers/json?all=1", "/networks", "/volumes", "/nodes", "/version", "/swarm"):
        assert _settled(first, second, target)


def _settled(first: EngineProcess, second: EngineProcess, target: str) -> bool:
    """Whether both answer the same, within a moment: each has its own view until its manager has seen the newest."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        answers = [each.send("GET", target) for each in (first, second, first)]
        if answers[0] == answers[1] == answers[2] and answers[0][0] == 200:
            return True
        time.sleep(0.1)
    return False
