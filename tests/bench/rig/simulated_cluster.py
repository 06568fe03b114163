"""A whole manager with its own etcd, and simulated agents in other processes; what each of them uses of the processors.

Node records and identities are made beside the manager (`simulated_nodes`), so that thousands of nodes need no
thousands of joins.
"""

import asyncio
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.store import kinds
from manager.store.backend import prefix_end
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.bench.rig.simulated_agents import Counts, read_counts
from tests.bench.rig.simulated_nodes import make_nodes
from tests.integration.manager.manager_process import ManagerProcess

AGENTS_A_PROCESS = 1500
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Mark:
    """A moment, and the processor seconds used by then."""

    at: float
    manager: float
    etcd: float
    agents: float

    def since(self, before: "Mark") -> "Mark":
        """What was used between."""
        return Mark(
            self.at - before.at, self.manager - before.manager, self.etcd - before.etcd, self.agents - before.agents
        )


class SimulatedCluster:
    """The parts as the bench sees them."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self.nodes = nodes
        self._directory = directory
        self.manager = ManagerProcess(directory / "manager", more=("--heartbeat-seconds", "2"))
        self._agents: list[subprocess.Popen[bytes]] = []
        self._count_files: list[Path] = []

    def counts(self) -> Counts:
        """Of all agents."""
        found = [counts for path in self._count_files if (counts := read_counts(path)) is not None]
        return Counts(*(sum(getattr(each, name) for each in found) for name in Counts.__dataclass_fields__))

    def mark(self) -> Mark:
        """Now."""
        agents = sum(_processor(process.pid) for process in self._agents)
        return Mark(time.monotonic(), _processor(self.manager_pid), _processor(self.etcd_pid()), agents)

    @property
    def manager_pid(self) -> int:
        assert self.manager.process is not None
        return self.manager.process.pid

    def etcd_pid(self) -> int:
        """0 while there is none."""
        children = Path(f"/proc/{self.manager_pid}/task/{self.manager_pid}/children").read_text().split()
        return next((int(each) for each in children if _name(each) == "etcd"), 0)

    async def records(self, kind: kinds.Kind[Any]) -> list[Any]:
        """All of a kind, as they lie in etcd."""
        start = kind.key("").removesuffix(kind.suffix.encode())
        async with own_member(self.manager.state / "etcd" / "client:0") as members:
            etcd, found = Etcd(members=members), []
            key: bytes | None = start
            while key is not None:
                page = await etcd.range(key, prefix_end(start), limit=2000)
                found += [each for each in page.records if kind.identifier(each.key) is not None]
                key = page.next_key
        return [kind.message.FromString(each.value) for each in found]

    async def running(self) -> set[str]:
        """Ids of tasks that are to run."""
        return {task.id for task in await self.records(kinds.TASK) if _should_run(task)}

    async def ready(self) -> int:
        """Nodes that etcd has as READY."""
        return sum(each.state == NodeStatus.READY for each in await self.records(kinds.NODE_STATUS))

    def start_agents(self) -> None:
        """All of them at once."""
        path = self._directory / "identities"
        for first in range(0, self.nodes, AGENTS_A_PROCESS):
            count_file = self._directory / f"counts{first}"
            last = min(self.nodes, first + AGENTS_A_PROCESS)
            arguments = [str(path), self.manager.api, str(count_file), str(first), str(last)]
            with (self._directory / f"agents{first}.log").open("wb") as log:
                command = [sys.executable, "-m", "tests.bench.rig.simulated_agents", *arguments]
                self._agents.append(subprocess.Popen(command, stdout=log, stderr=log))
            self._count_files.append(count_file)

    async def until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for it; a process that ended, or the deadline, is an error with what the manager said last."""
        deadline = time.monotonic() + seconds
        while not holds():
            dead = [each for each in (self.manager.process, *self._agents) if each and each.poll() is not None]
            if dead or time.monotonic() > deadline:
                why = "a process ended" if dead else f"not within {seconds:g} s"
                raise RuntimeError(f"{why}: {what}; {self.counts()}\n{self.manager.log[-4000:]}")
            await asyncio.sleep(0.05)

    def end(self) -> None:
        """All processes."""
        for process in self._agents:
            process.kill()
            process.wait()
        self.manager.end()


@asynccontextmanager
async def simulated_cluster(directory: Path, nodes: int) -> AsyncGenerator[tuple[SimulatedCluster, Any]]:
    """A manager that leads and knows the nodes, whose agents are not started yet; and its API."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    cluster = SimulatedCluster(directory, nodes)
    cluster.manager.start()
    try:
        control = await cluster.manager.ready()
        known = await make_nodes(cluster.manager.state, [f"n{each:05}" for each in range(nodes)])
        (directory / "identities").write_bytes(pickle.dumps(known))
        yield cluster, control
    finally:
        cluster.end()


def _should_run(task: Task) -> bool:
    return task.desired_state <= TaskState.RUNNING and task.state <= TaskState.RUNNING


def _processor(pid: int) -> float:
    """Seconds in user and kernel mode (proc(5), fields 14 and 15 of stat); 0 of a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
