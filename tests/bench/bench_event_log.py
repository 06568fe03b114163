"""Memory of the event log of a manager. Run: python -m tests.bench.bench_event_log

Each workload has a process of its own, with tables and an event log that remembers what changes them; that of the same
without an event log is subtracted. A node's status lists 200 devices and 60 open ports of its host, as that of a plain
machine does; a large service has 100 kB of environment.
"""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import Message

from manager.events.event_log import EventLog
from manager.store import kinds
from manager.store.backend import KeyEvent
from manager.store.kinds import Kind
from manager.store.record_store import RecordReader
from manager.store.subscription import Subscription
from manager.store.tables import Tables
from manager.store.versioned_tables import VersionedTables
from shoal.api.v1.event_pb2 import EventChunk
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import HostListener, NodeStatus
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import StateChange, Task, TaskAddress, TaskPort, TaskState, TaskStatus
from tests.bench.rig.figures import Figure, table

CHANGES = 24_000
BATCH = 64
NODES = 5
LIVE = 40
DEVICES = 200
LISTENERS = 60
LARGE_BYTES = 100_000

Put = tuple[Kind[Any], str, Message | None]


class FollowedTables:
    """What the event log needs of a store."""

    def __init__(self) -> None:
        self.tables = Tables()
        self._subscribers: set[Subscription] = set()
        self._versioned = VersionedTables(self.tables)
        self._revision = 0

    def follow(self) -> Subscription:
        made = Subscription(self._subscribers)
        self._subscribers.add(made)
        return made

    def apply(self, puts: Sequence[Put]) -> None:
        events = [
            KeyEvent(kind.key(name), value.SerializeToString() if value is not None else None, self._revision + number)
            for number, (kind, name, value) in enumerate(puts, 1)
        ]
        self._revision += len(puts)
        changes = self._versioned.apply_events(events, self._revision)
        self._versioned.mark_watched(self._revision)
        for each in self._subscribers:
            each.publish(changes)


class NoArchive:
    async def read(self, since_ms: int) -> AsyncGenerator[EventChunk, None]:
        for chunk in list[EventChunk]():
            yield chunk


def tasks() -> Iterator[Put]:
    """Tasks that are created, run, and are removed."""
    states = (TaskState.PREPARING, TaskState.STARTING, TaskState.RUNNING)
    number = 0
    while True:
        number += 1
        name = f"task{number:09d}"
        addresses = [TaskAddress(network_id=f"network{each:06d}", address=f"10.0.{each}.7") for each in range(2)]
        task = Task(
            id=name, service_id="service000001", revision=1, slot=number % LIVE, node_id=f"node{number % NODES}"
        )
        task.state, task.desired_state, task.created_at_ms = TaskState.ASSIGNED, TaskState.RUNNING, 1_700_000_000_000
        task.addresses.extend(addresses)
        task.ports.append(TaskPort(protocol=1, target=80, published=30_000))
        yield kinds.TASK, name, task
        status = TaskStatus(task_id=name, image_digest="sha256:" + "a" * 64, pid=4711)
        for state in states:
            status.state, status.at_ms = state, 1_700_000_000_000
            status.state_history.append(StateChange(state=state, at_ms=1_700_000_000_000))
            yield kinds.TASK_STATUS, name, TaskStatus.FromString(status.SerializeToString())
        stopped = Task.FromString(task.SerializeToString())
        stopped.desired_state = TaskState.SHUTDOWN
        yield kinds.TASK, name, stopped
        if number > LIVE:
            gone = f"task{number - LIVE:09d}"
            yield kinds.TASK_STATUS, gone, None
            yield kinds.TASK, gone, None


def nodes() -> Iterator[Put]:
    """Nodes that are lost and return."""
    number = 0
    while True:
        number += 1
        status = NodeStatus(node_id=f"node{number % NODES}", since_ms=number)
        status.state = NodeStatus.READY if number // NODES % 2 else NodeStatus.DOWN
        status.description.hostname = f"host{number % NODES}"
        status.description.devices.paths.extend(f"/dev/disk/by-id/device-{each:04d}" for each in range(DEVICES))
        status.network_condition.listeners.extend(
            HostListener(port=1_000 + each, address="198.18.0.11") for each in range(LISTENERS)
        )
        yield kinds.NODE_STATUS, status.node_id, status


def mixed() -> Iterator[Put]:
    """Nine changes of tasks to one of a node."""
    of_tasks, of_nodes = tasks(), nodes()
    while True:
        for _ in range(9):
            yield next(of_tasks)
        yield next(of_nodes)


def services() -> Iterator[Put]:
    """Large services that are updated."""
    number = 0
    while True:
        number += 1
        name = f"service{number % 10:06d}"
        service = Service(meta=Meta(id=name), revision=number)
        service.spec.name = name
        service.spec.task.container.env.append(f"CONFIG={number:09d}" + "x" * LARGE_BYTES)
        yield kinds.SERVICE, name, service


WORKLOADS: dict[str, tuple[Callable[[], Iterator[Put]], int]] = {
    "tasks": (tasks, CHANGES),
    "tasks, a tenth of nodes": (mixed, CHANGES),
    "nodes": (nodes, CHANGES),
    "large services": (services, 2_000),
}


def _rss_mb() -> float:
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmRSS:"))
    return float(line.split()[1]) / 1024


async def _run(workload: str, is_remembered: bool) -> tuple[float, float]:
    make, count = WORKLOADS[workload]
    store = FollowedTables()
    log = EventLog(store=cast(RecordReader, store), now_ms=lambda: 1, archive=NoArchive())
    running = asyncio.create_task(log.run() if is_remembered else asyncio.sleep(3600))
    await asyncio.sleep(0)
    puts, begun, seconds = make(), _rss_mb(), 0.0
    for _ in range(0, count, BATCH):
        store.apply([next(puts) for _ in range(BATCH)])
        start = time.process_time()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seconds += time.process_time() - start
    used = _rss_mb() - begun
    running.cancel()
    return used, seconds / count * 1e6


def _measure(workload: str, is_remembered: bool) -> tuple[float, float]:
    return asyncio.run(_run(workload, is_remembered))


def measure() -> list[Figure]:
    """All figures of this file."""
    figures = []
    for workload, (_, count) in WORKLOADS.items():
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            (with_log, each), (without, _) = (pool.apply(_measure, (workload, on)) for on in (True, False))
        figures += [
            Figure(f"event log after {count:,} changes: {workload}", with_log - without, "MB", scope="event log alone"),
            Figure("... a change", each, "µs", scope="event log alone"),
        ]
    return figures


def main() -> None:
    """Measure and print."""
    print(table(measure()))


if __name__ == "__main__":
    main()
