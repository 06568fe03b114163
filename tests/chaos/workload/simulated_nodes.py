"""Agents without a runtime, a thousand of them: real sessions of nodes that run one service's tasks by word alone."""

import asyncio
import itertools
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.client import Client
from shoal.api.v1.control_pb2 import CreateServiceRequest, RemoveNodeRequest, RemoveServiceRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import AlreadyExists, NotFound, ShoalError
from tests.bench.rig.simulated_agents import START_SECONDS, Counts, read_counts, read_stalls
from tests.bench.rig.simulated_nodes import make_nodes
from tests.chaos.checks.key_history import ROOT, TASKS
from tests.chaos.checks.replacements import SIMULATED
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import MANAGERS
from tests.chaos.polling import until
from tests.chaos.violation import ActiveFault

SERVICE = "simulated"
_CONNECT_SECONDS = START_SECONDS + 15.0
LEAST = 50
MOST = 0.9
"""Of their tasks are to run before the managers are killed: some wait for nodes that have just lost their session."""
_RETURN_SECONDS = 240.0
SETTLE_SECONDS = 12.0
"""Longer than a node may be silent: what a herd breaks is broken by then."""

EXCUSED_STALL_SECONDS = 3.0
"""Agents whose process does not get its turn for longer, on a busy machine, miss heartbeats by themselves."""

_IMAGE = "registry.test/simulated@sha256:" + "b" * 64
_ARCHITECTURE = "s390x"
"""No other service has an image for it."""
_AT_ONCE = 4
_ATTEMPTS_SECONDS = 60.0
_HERDS = itertools.count(1)


@dataclass(frozen=True)
class HerdResult:
    """What became of the agents while all managers were away.

    Attributes:
        back_seconds: from the managers' start until all sessions were open again.
        lost_nodes: that are not READY.
        replaced_tasks: that should run no more, of those that should before.
        stalled_seconds: for which the agents' own process did not get its turn meanwhile, at the most.
    """

    agents: int
    back_seconds: float
    lost_nodes: int
    replaced_tasks: int
    stalled_seconds: float

    def __str__(self) -> str:
        return (
            f"herd of {self.agents} agents: all sessions back {self.back_seconds:.1f} s after the managers' start, "
            f"{self.lost_nodes} nodes given up, {self.replaced_tasks} tasks replaced; the agents' process stood still "
            f"for {self.stalled_seconds:.1f} s at most"
        )


class SimulatedNodes:
    """They are connected, and each node has a task. From `simulated_nodes`.

    Args:
        directory: for their files.
        names: of their nodes.
    """

    def __init__(self, cluster: ChaosCluster, directory: Path, names: list[str]) -> None:
        self._cluster = cluster
        self._directory = directory
        self._names = names
        self._tasks: set[str] = set()
        self._sessions = 0
        self._connected = 0
        self._begun = 0.0

    @property
    def counts(self) -> Counts:
        return read_counts(self._directory / "counts") or Counts()

    def await_ready(self) -> None:
        """Until all are connected, or as many as are in time, and nearly a task for each runs.

        Raises:
            TimeoutError: few are connected, or tasks do not run.
        """
        begun = time.time()
        try:
            self._connect()
        finally:
            self._excuse("simulated agents connect", begun)
        time.sleep(SETTLE_SECONDS)

    def _connect(self) -> None:
        until(lambda: self.counts.connected >= len(self._names), _CONNECT_SECONDS, 0.1)
        self._connected = self.counts.connected
        if self._connected < LEAST:
            raise TimeoutError(f"few simulated agents are connected: {self.counts}")
        _create_service(self._cluster, self._connected)
        most = MOST * self._connected
        self._await(lambda: self.counts.tasks >= most, "tasks of simulated agents do not run")

    def remember(self) -> None:
        """What there is before the managers are killed."""
        self._begun, self._tasks, self._sessions = time.time(), self._running(), self.counts.sessions

    def await_return(self) -> HerdResult:
        """Until all have opened a session since `remember`, and what was broken is broken. Raises TimeoutError."""
        begun = time.monotonic()
        target = self._sessions + self._connected
        self._await(
            lambda: self.counts.sessions >= target and self.counts.connected >= self._connected,
            "simulated agents do not come back",
        )
        back = time.monotonic() - begun
        time.sleep(SETTLE_SECONDS)
        stalls = [each for at, each in read_stalls(self._directory / "counts") if at >= self._begun]
        if (stalled := max(stalls, default=0.0)) > EXCUSED_STALL_SECONDS:
            self._excuse("simulated agents' process stood still", self._begun)
        replaced = len(self._tasks - self._running())
        return HerdResult(self._connected, back, self._lost_nodes(), replaced, stalled)

    def leave(self) -> None:
        """Their service is removed, so that they have no task. Raises TimeoutError."""
        with self._cluster.client() as client:
            _repeat(lambda: client.call(client.control.RemoveService, RemoveServiceRequest(service=SERVICE)))
        self._await(lambda: self.counts.tasks <= 0, "tasks of simulated agents do not end")

    def remove_nodes(self) -> None:
        """From the cluster. Raises TimeoutError."""
        begun = time.time()

        def remove(client: Client, name: str) -> None:
            _repeat(lambda: client.call(client.control.RemoveNode, RemoveNodeRequest(node=name, force=True)))

        try:
            with self._cluster.client() as client, ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda name: remove(client, name), self._names))
        finally:
            self._excuse("simulated agents leave", begun)

    def _excuse(self, why: str, begun: float) -> None:
        """Their nodes may have been given up since then."""
        self._cluster.excuses.append(ActiveFault(why, begun, time.time(), frozenset(self._names)))

    def _await(self, condition: Callable[[], bool], problem: str) -> None:
        if not until(condition, _RETURN_SECONDS, 0.1):
            raise TimeoutError(f"{problem}: {self.counts}")

    def _running(self) -> set[str]:
        """Ids of their tasks that are to run."""
        tasks = [
            Task.FromString(each.value)
            for key, each in self._cluster.etcd.records()[1].items()
            if key.startswith(TASKS.encode())
        ]
        return {
            each.id for each in tasks if each.node_id.startswith(SIMULATED) and each.desired_state <= TaskState.RUNNING
        }

    def _lost_nodes(self) -> int:
        start, end = f"{ROOT}nodes/{SIMULATED}".encode(), b"/status"
        states = [
            NodeStatus.FromString(each.value).state
            for key, each in self._cluster.etcd.records()[1].items()
            if key.startswith(start) and key.endswith(end)
        ]
        return sum(state != NodeStatus.READY for state in states)


@contextmanager
def simulated_nodes(cluster: ChaosCluster, count: int) -> Iterator[SimulatedNodes]:
    """So many agents, connected, with a task each; at the end their nodes are removed.

    Raises:
        TimeoutError: they do not connect, or their tasks do not run. NoMember, ShoalError: the cluster does not answer.
    """
    directory = cluster.layout.state / "simulated"
    directory.mkdir(exist_ok=True)
    herd = next(_HERDS)
    names = [f"{SIMULATED}{herd}n{number:05}" for number in range(count)]
    agents = SimulatedNodes(cluster, directory, names)
    state = cluster.state(cluster.leader() or MANAGERS[0])
    identities = asyncio.run(make_nodes(state, names, {SERVICE: "yes"}))
    (directory / "identities").write_bytes(pickle.dumps(identities))
    (directory / "counts").unlink(missing_ok=True)
    (directory / "counts.stalls").unlink(missing_ok=True)
    cluster.load += 1
    try:
        with _processes(cluster, directory, count):
            try:
                agents.await_ready()
                yield agents
            finally:
                agents.leave()
    finally:
        agents.remove_nodes()
        cluster.load += 1


@contextmanager
def _processes(cluster: ChaosCluster, directory: Path, count: int) -> Iterator[None]:
    addresses = ",".join(cluster.api(name) for name in MANAGERS)
    arguments = [directory / "identities", addresses, directory / "counts", 0, count, _ARCHITECTURE]
    command = [sys.executable, "-m", "tests.bench.rig.simulated_agents", *map(str, arguments)]
    log = cluster.layout.state / "logs" / "simulated.log"
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.kill()


def _create_service(cluster: ChaosCluster, count: int) -> None:
    spec = ServiceSpec(name=SERVICE)
    spec.task.container.image = _IMAGE
    spec.task.placement.constraints.append(f"node.labels.{SERVICE}==yes")
    spec.replicated.replicas = count
    with cluster.client() as client:
        _repeat(lambda: client.call(client.control.CreateService, CreateServiceRequest(spec=spec), seconds=60.0))


def _repeat(call: Callable[[], object]) -> None:
    """Until a manager has made the change. Raises TimeoutError."""

    def is_made() -> bool:
        try:
            call()
        except (AlreadyExists, NotFound):
            return True  # by an attempt whose outcome was unknown
        except ShoalError:
            return False
        return True

    if not until(is_made, _ATTEMPTS_SECONDS, 0.5):
        raise TimeoutError("no manager makes a change")
