"""Agents without a runtime, many in one process: `python -m tests.bench.rig.simulated_agents`.

Arguments: the file of identities, the managers' addresses, the file for counts, which of the identities, first and
last; with an architecture after them it is that of their platform, and they start one after the other. Each holds a
real `AgentSession` over mutual TLS, with its reconnections; of a task that is to run it says at once that it runs, of
any other that it has ended. What they have seen is written to the file four times a second.
"""

import asyncio
import json
import pickle
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.session.manager_session import ManagerSession
from agent.session.status_queue import StatusQueue
from shoal.api.v1.dispatcher_pb2 import Assignments, OrphanReport, VolumeReport
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription
from shoal.api.v1.task_pb2 import StateChange, TaskState, TaskStatus
from shoal.identity.identity import Identity
from shoal.rpc.channel import MAX_STREAM_BYTES, connect_aio
from shoal.task_group import TaskGroup
from tests.fakes.image_reports import FakeImageReports
from tests.fakes.manager_list import manager_list

PERIOD_SECONDS = 0.25
CONNECTING = 40
"""At once, where they start one after the other: more of them only wait for each other."""
START_SECONDS = 30.0
"""Then no more are started: a busy machine has fewer of them."""
STALL_SECONDS = 1.0
PATH = (TaskState.ACCEPTED, TaskState.PREPARING, TaskState.READY, TaskState.STARTING, TaskState.RUNNING)
DIGEST = "sha256:" + "b" * 64


@dataclass
class Counts:
    """Of all agents of a process.

    Attributes:
        connected: agents that hold a session now.
        sessions: opened so far.
        failures: sessions that ended, and attempts that did not become one.
        tasks: assigned to them now.
        started: said to run so far.
        messages, kilobytes: of assignments.
    """

    connected: int = 0
    sessions: int = 0
    failures: int = 0
    tasks: int = 0
    started: int = 0
    messages: int = 0
    kilobytes: float = 0


class SimulatedHost:
    """A host that never changes."""

    def __init__(self, number: int, node_id: str, architecture: str) -> None:
        high, middle, low = number >> 16 & 255, number >> 8 & 255, number & 255
        about = NodeDescription(hostname=node_id, address=f"10.{200 + high}.{middle}.{low}", stream_port=7441)
        about.vtep_mac = f"02:56:{high:02x}:{middle:02x}:{low:02x}:01"
        about.platform.os, about.platform.architecture = "linux", architecture
        about.resources.nano_cpus, about.resources.memory_bytes = 64_000_000_000, 1 << 36
        self._about = about

    def current(self) -> NodeDescription:
        """As it is."""
        return self._about

    async def reports(self) -> AsyncGenerator[NodeDescription]:
        """None."""
        await asyncio.Event().wait()
        yield self._about


class NoVolumes:
    """Has nothing to report."""

    async def reports(self) -> AsyncGenerator[VolumeReport]:
        """None."""
        await asyncio.Event().wait()
        yield VolumeReport()


class NoCondition:
    """Has nothing to report."""

    async def reports(self) -> AsyncGenerator[NetworkCondition]:
        """None."""
        await asyncio.Event().wait()
        yield NetworkCondition()


class SimulatedWorker:
    """Takes tasks over and says what would have become of them.

    Args:
        connected: called when it has a session for the first time.
    """

    def __init__(self, counts: Counts, outbox: StatusQueue, connected: Callable[[], None]) -> None:
        self._counts = counts
        self.outbox = outbox
        self._connected: Callable[[], None] | None = connected
        self._known: dict[str, TaskStatus] = {}
        self._applied: asyncio.Queue[int] = asyncio.Queue()
        self._reached = False

    def set_connected(self, connected: bool) -> None:
        """Count it."""
        self._counts.connected += connected - self._reached
        self._counts.sessions += connected
        self._counts.failures += not connected
        self._reached = connected
        if connected and self._connected is not None:
            self._connected()
            self._connected = None

    def statuses(self) -> list[TaskStatus]:
        """Of all tasks."""
        return list(self._known.values())

    async def orphan_reports(self) -> AsyncGenerator[OrphanReport]:
        """None."""
        await asyncio.Event().wait()
        yield OrphanReport()

    def stored(self, status: TaskStatus) -> None:
        pass

    def not_stored(self, task_id: str) -> None:
        pass

    async def applied_sequences(self) -> AsyncGenerator[int]:
        """Each message, at once."""
        while True:
            yield await self._applied.get()

    def receive(self, assignments: Assignments) -> None:
        """Run what is to run, end what is to end, forget the rest."""
        self._counts.messages += 1
        self._counts.kilobytes += assignments.ByteSize() / 1e3
        if assignments.snapshot:
            self._forget(set(self._known) - {task.id for task in assignments.tasks})
        self._forget(assignments.removed_tasks)
        now_ms = time.time_ns() // 1_000_000
        for task in assignments.tasks:
            self._report(task.id, task.desired_state, now_ms)
        if assignments.sequence:
            self._applied.put_nowait(assignments.sequence)

    def _forget(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            self._counts.tasks -= self._known.pop(task_id, None) is not None

    def _report(self, task_id: str, desired: TaskState.ValueType, now_ms: int) -> None:
        """It is what it is to be: READY (a created container), RUNNING, else ended."""
        runs = desired <= TaskState.RUNNING
        state = desired if runs else TaskState.SHUTDOWN
        known = self._known.get(task_id)
        self._counts.tasks += known is None
        if known is not None and known.state >= state:
            return
        status = TaskStatus(task_id=task_id, state=state, at_ms=now_ms, running_at_ms=now_ms, image_digest=DIGEST)
        status.state_history.extend(StateChange(state=each, at_ms=now_ms) for each in PATH if each <= state)
        self._known[task_id] = status
        self.outbox.put(status)
        self._counts.started += runs


def read_counts(path: Path) -> Counts | None:
    """As a process of agents has written them; None: not yet."""
    return Counts(**json.loads(path.read_text())) if path.exists() else None


def read_stalls(path: Path) -> list[tuple[float, float]]:
    """When a process of agents did not get its turn, seconds since the Unix epoch, and for how many seconds.

    Args:
        path: of its counts.
    """
    file = path.with_suffix(".stalls")
    lines = file.read_text().splitlines() if file.exists() else []
    return [(float(at), float(seconds)) for at, seconds in map(str.split, lines)]


def session(
    host: SimulatedHost, node_id: str, identity: Identity, addresses: Sequence[str], worker: SimulatedWorker, home: Path
) -> ManagerSession:
    """One agent's. The first of the addresses is tried first."""
    return ManagerSession(
        managers=manager_list(home / node_id, addresses, node_id),
        connect=lambda to: connect_aio([to], identity, max_receive_bytes=MAX_STREAM_BYTES),
        host=host,
        outbox=worker.outbox,
        worker=worker,
        volumes=NoVolumes(),
        condition=NoCondition(),
        images=FakeImageReports(),
    )


async def run(
    identities: Path,
    addresses: Sequence[str],
    count_file: Path,
    first: int,
    last: int,
    *,
    architecture: str = "amd64",
    gentle: bool = False,
) -> None:
    """Until the process is ended."""
    counts = Counts()
    home = count_file.with_suffix(".managers")
    home.mkdir(exist_ok=True)
    known: list[tuple[str, Identity]] = pickle.loads(identities.read_bytes())
    connecting, begun = asyncio.Semaphore(CONNECTING), asyncio.get_running_loop().time()
    async with TaskGroup() as group:
        group.create_task(_write_counts(counts, count_file))
        for number, (node_id, identity) in list(enumerate(known))[first:last]:
            turn = number % len(addresses)
            host = SimulatedHost(number, node_id, architecture)
            if gentle and not await _acquired(connecting, begun + START_SECONDS):
                break
            worker = SimulatedWorker(counts, StatusQueue(), connecting.release)
            own = session(host, node_id, identity, [*addresses[turn:], *addresses[:turn]], worker, home)
            group.create_task(own.run())


async def _acquired(semaphore: asyncio.Semaphore, deadline: float) -> bool:
    """Whether it was, by then."""
    try:
        async with asyncio.timeout_at(deadline):
            return await semaphore.acquire()
    except TimeoutError:
        return False


async def _write_counts(counts: Counts, file: Path) -> None:
    """Write them down for ever, and when this process did not get its turn (`read_stalls`)."""
    fresh, stalls = file.with_suffix(".new"), file.with_suffix(".stalls")
    while True:
        begun = time.monotonic()
        await asyncio.sleep(PERIOD_SECONDS)
        late = time.monotonic() - begun - PERIOD_SECONDS
        if late > STALL_SECONDS:
            with stalls.open("a") as out:
                out.write(f"{time.time()} {late}\n")
        fresh.write_text(json.dumps(asdict(counts)))
        fresh.replace(file)


def main(arguments: Sequence[str]) -> None:
    identities, addresses, count_file, first, last, *more = arguments
    files = Path(identities), addresses.split(","), Path(count_file), int(first), int(last)
    asyncio.run(run(*files, architecture=more[0], gentle=True) if more else run(*files))


if __name__ == "__main__":
    main(sys.argv[1:])
