"""The store on a real etcd with fsync: commits, loading, memory.

Run `python -m tests.bench.control_plane.bench_store`.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer, etcd_server
from manager.store.changes import Write, put
from manager.store.kinds import TASK
from manager.store.store import Store
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState
from shoal.ids import new_id
from shoal.task_group import TaskGroup

SINGLE, CONCURRENT, WRITERS, TASKS = 1000, 5000, 64, 100_000


def tasks(count: int) -> Iterator[Write]:
    services = [new_id() for _ in range(100)]
    nodes = [new_id() for _ in range(1000)]
    for number in range(count):
        identifier = new_id()
        yield put(
            TASK,
            identifier,
            Task(
                id=identifier,
                service_id=services[number % 100],
                revision=1,
                slot=number,
                node_id=nodes[number % 1000],
                state=TaskState.ASSIGNED,
                desired_state=TaskState.RUNNING,
                addresses=[TaskAddress(network_id=services[0], address=f"10.0.{number >> 8 & 255}.{number & 255}")],
                created_at_ms=1_700_000_000_000 + number,
            ),
        )


def resident_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def commit_each(store: Store, writes: list[Write]) -> list[float]:
    took = []
    for write in writes:
        start = time.perf_counter()
        await store.commit([write])
        took.append(time.perf_counter() - start)
    return took


async def measure_commits(store: Store) -> None:
    took = await commit_each(store, list(tasks(SINGLE)))
    p99 = statistics.quantiles(took, n=100)[98]
    print(f"one commit of one task: p50 {statistics.median(took) * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
    start = time.perf_counter()
    async with TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(commit_each(store, list(tasks(CONCURRENT // WRITERS))))
    print(f"{WRITERS} writers of one task each: {CONCURRENT / (time.perf_counter() - start):,.0f} commits/s")
    writes = list(tasks(TASKS))
    start = time.perf_counter()
    await store.commit_in_batches(writes)
    print(f"{TASKS:,} tasks in batches: {TASKS / (time.perf_counter() - start):,.0f} tasks/s")


async def measure_load(socket: Path) -> None:
    async with own_member(socket) as members, TaskGroup() as group:
        gc.collect()
        before, start = resident_bytes(), time.perf_counter()
        store = Store(backend=Etcd(members=members))
        running = group.create_task(store.run())
        await store.ready()
        took = time.perf_counter() - start
        gc.collect()
        rows = len(store.tables.tasks)
        grown = resident_bytes() - before
        print(f"loading {rows:,} tasks: {took:.2f} s ({rows / took:,.0f}/s); {grown / rows:,.0f} bytes resident a task")
        running.cancel()


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        server = EtcdServer(Path(directory))
        async with etcd_server(server) as client, TaskGroup() as group:
            print(f"resident before any record: {resident_bytes() / 1e6:.0f} MB")
            store = Store(backend=client)
            running = group.create_task(store.run())
            await store.ready()
            await measure_commits(store)
            await measure_load(server.socket)
            running.cancel()


if __name__ == "__main__":
    asyncio.run(main())
