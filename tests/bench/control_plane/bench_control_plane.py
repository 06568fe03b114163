"""A control plane under many nodes.

Run `python -m tests.bench.control_plane.bench_control_plane NODES [TASKS] [--only PHASE …]`.

A whole manager, its own etcd, and simulated agents in other processes (`simulated_agents`), mutual TLS throughout.
Phases:
`connect` (all agents at once), `idle`, `up` (0 to TASKS), `watched` (the same with a `WatchServices` open), `pause`
(the manager is stopped for 3, 8 and 14 s), `restart` (SIGKILL, 2 s, start) and `down`. Processor seconds of the
manager, of etcd and of the agents are separate; they are firm on a busy machine, where seconds are not.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from grpc import aio

from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetClusterRequest,
    ScaleServicesRequest,
    WatchServicesRequest,
)
from shoal.api.v1.control_pb2_grpc import ControlStub
from shoal.api.v1.service_pb2 import ServiceSpec
from tests.bench.rig.figures import Figure, table
from tests.bench.rig.simulated_cluster import Mark, SimulatedCluster, simulated_cluster

IDLE_SECONDS = 10.0
SETTLE_SECONDS = 12.0
"""Longer than a node has to miss its heartbeats, and then some: what a pause breaks is broken by then."""
DOWN_SECONDS = 2.0
PAUSES = (3.0, 8.0, 14.0)
BACK_SECONDS = 25.0
LIMIT_SECONDS = 600.0
MOST_TASKS = 10_000
DEFAULT_NODES = 200


class Bench:
    """One cluster through its phases."""

    def __init__(self, cluster: SimulatedCluster, control: Any, tasks: int) -> None:
        self._cluster = cluster
        self._control = control
        self._tasks = tasks
        self.figures: list[Figure] = []

    async def connect(self) -> None:
        """All agents at once, to a manager that knows none of them."""
        before = self._cluster.mark()
        self._cluster.start_agents()
        ends = await self._all_back()
        self._report("connect", self._cluster.mark().since(before))
        self._figure("connect: manager ended by itself", ends, "times", at_most=0)
        self._figure("connect: failed attempts", self._cluster.counts().failures, "")
        self._figure("connect: messages of assignments", self._cluster.counts().messages, "")
        await self._make_service()

    async def idle(self) -> None:
        """Heartbeats alone."""
        await asyncio.sleep(SETTLE_SECONDS)
        before = self._cluster.mark()
        await asyncio.sleep(IDLE_SECONDS)
        used = self._cluster.mark().since(before)
        self._figure("idle: manager", 100 * used.manager / used.at, "% of a processor")
        self._figure("idle: etcd", 100 * used.etcd / used.at, "% of a processor")
        self._figure("idle: manager's memory", self._cluster.manager.resident_kib() / 1024, "MiB")

    async def up(self) -> None:
        """From none to all tasks, until the agents have said that all run."""
        await self._scale("0 to T", self._tasks)

    async def down(self) -> None:
        """Back to none."""
        await self._scale("T to 0", 0)

    async def watched(self) -> None:
        """Down and up again while someone watches the service, as the command line does."""
        await self._scale("T to 0, before watched", 0)
        watching = asyncio.create_task(self._watch())
        await self._scale("0 to T, watched", self._tasks)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    async def pause(self) -> None:
        """The manager does not run for a while: a machine that moves, swap."""
        for seconds in PAUSES:

            async def stand_still(seconds: float = seconds) -> float:
                assert self._cluster.manager.process is not None
                self._cluster.manager.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(seconds)
                self._cluster.manager.process.send_signal(signal.SIGCONT)
                return time.monotonic()

            await self._disturb(f"pause of {seconds:g} s", stand_still)

    async def restart(self) -> None:
        """The manager is killed, and started again soon after."""

        async def restart() -> float:
            self._cluster.manager.kill()
            await asyncio.sleep(DOWN_SECONDS)
            self._cluster.manager.start()
            began = time.monotonic()
            await self._api_answers()
            self._figure("restart: API answers", time.monotonic() - began, "s")
            return began

        await self._disturb("restart", restart, at_most=BACK_SECONDS)

    async def _disturb(self, name: str, harm: Callable[[], Awaitable[float]], at_most: float | None = None) -> None:
        """Harm the manager; how long until all nodes are back, which were DOWN, and which tasks were replaced.

        Args:
            harm: answers with the time from which on the manager could listen again.
        """
        before, log = await self._cluster.running(), len(self._cluster.manager.log)
        start, failures = self._cluster.mark(), self._cluster.counts().failures
        ended = await harm()
        await asyncio.sleep(1.0)  # agents report what they know four times a second
        ends = await self._all_back()
        back = time.monotonic() - ended
        used = self._cluster.mark()
        manager = used.manager - (start.manager if used.manager >= start.manager else 0)
        await asyncio.sleep(SETTLE_SECONDS)
        ends += await self._all_back()
        said = self._cluster.manager.log[log:]
        self._figure(f"{name}: all nodes back", back, "s", at_most=at_most)
        self._figure(f"{name}: manager's processor time", manager, "s")
        self._figure(f"{name}: failed attempts", self._cluster.counts().failures - failures, "")
        self._figure(f"{name}: manager ended by itself", ends, "times", at_most=0)
        self._figure(f"{name}: nodes DOWN", said.count(" is DOWN"), "", at_most=0)
        self._figure(f"{name}: nodes UNKNOWN", said.count(" is UNKNOWN"), "")
        self._figure(f"{name}: tasks replaced", len(before - await self._cluster.running()), "", at_most=0)

    async def _api_answers(self) -> None:
        """Until the manager leads and says so, however busy it is."""
        self._control = ControlStub(self._cluster.manager.channel())
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            with suppress(aio.AioRpcError):
                if (await self._control.GetCluster(GetClusterRequest(), timeout=10)).leader_id:
                    return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"no response from the manager: {self._cluster.manager.log[-4000:]}")

    async def _all_back(self) -> int:
        """Wait for all agents; how often the manager ended meanwhile, and was started again as systemd would."""
        ends, deadline = 0, time.monotonic() + LIMIT_SECONDS
        while self._cluster.counts().connected < self._cluster.nodes:
            assert self._cluster.manager.process is not None
            if self._cluster.manager.process.poll() is not None:
                ends += 1
                self._cluster.manager.start()
                await self._api_answers()
            if time.monotonic() > deadline:
                raise RuntimeError(f"agents do not come back: {self._cluster.counts()}")
            await asyncio.sleep(0.05)
        return ends

    async def _scale(self, name: str, to: int) -> None:
        began, before = self._cluster.counts().started, self._cluster.mark()
        targets = [ScaleServicesRequest.Target(service="web", replicas=to)]
        await self._control.ScaleServices(ScaleServicesRequest(targets=targets), timeout=60)

        def done() -> bool:
            counts = self._cluster.counts()
            return counts.started - began >= to if to else counts.tasks <= 0

        await self._cluster.until(done, name, LIMIT_SECONDS)
        await self._quiet()
        used = self._cluster.mark().since(before)
        self._report(name, used)
        for part in ("manager", "etcd", "agents"):
            self._figure(f"{name}: {part} a task", getattr(used, part) / self._tasks * 1e6, "µs")

    async def _quiet(self) -> None:
        """Until the manager uses next to nothing: all statuses are written, all plans made."""
        before = self._cluster.mark()
        while True:
            await asyncio.sleep(1.0)
            now = self._cluster.mark()
            if now.since(before).manager < 0.05 + 0.0001 * self._cluster.nodes:
                return
            before = now

    async def _watch(self) -> None:
        with suppress(aio.AioRpcError):
            async for _ in self._control.WatchServices(WatchServicesRequest(services=["web"])):
                pass

    async def _make_service(self) -> None:
        spec = ServiceSpec(name="web")
        spec.task.container.image = "registry.test/hello@sha256:" + "b" * 64
        spec.replicated.replicas = 0
        await self._control.CreateService(CreateServiceRequest(spec=spec), timeout=60)

    def _report(self, name: str, used: Mark) -> None:
        self._figure(f"{name}: time", used.at, "s")
        for part in ("manager", "etcd", "agents"):
            self._figure(f"{name}: {part}", getattr(used, part), "s of a processor")

    def _figure(self, name: str, value: float, unit: str, at_most: float | None = None) -> None:
        figure = Figure(f"{self._cluster.nodes} nodes, {name}", value, unit, at_most=at_most, scope="control plane")
        self.figures.append(figure)
        print(f"{figure.name}: {value:,.2f} {unit}", flush=True)


PHASES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "connect": Bench.connect,
    "idle": Bench.idle,
    "up": Bench.up,
    "watched": Bench.watched,
    "pause": Bench.pause,
    "restart": Bench.restart,
    "down": Bench.down,
}


async def run(nodes: int, tasks: int, phases: list[str]) -> list[Figure]:
    """One cluster; `connect` always comes first."""
    with tempfile.TemporaryDirectory(prefix="shoal-control-plane-") as directory:
        async with simulated_cluster(Path(directory), nodes) as (cluster, control):
            bench = Bench(cluster, control, tasks)
            for name, phase in PHASES.items():
                if name in phases or name == "connect":
                    await phase(bench)
            return bench.figures


def measure() -> list[Figure]:
    """The smallest size, for the table of everything."""
    return asyncio.run(run(DEFAULT_NODES, MOST_TASKS, list(PHASES)))


def main() -> None:
    """Print figures as they come, then the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.control_plane.bench_control_plane")
    parser.add_argument("nodes", type=int, nargs="?", default=DEFAULT_NODES)
    parser.add_argument("tasks", type=int, nargs="?", default=MOST_TASKS)
    parser.add_argument("--only", nargs="*", choices=list(PHASES), default=list(PHASES), metavar="PHASE")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    print(table(asyncio.run(run(given.nodes, given.tasks, given.only))))


if __name__ == "__main__":
    main()
