"""One backend of a service of 1,000 goes and comes back: from the commit to the kernels of three nodes.

Run `python -m tests.bench.bench_change`. A playground of three hosts, with a real manager, etcd and agents, and a
container on each so that it takes part in the network. The 1,000 tasks are the planner's own, on a node that is only a
record, since one machine does not run so many. What is committed is the word that a task does not serve, or does again,
by the store of a second manager. The time begins before the commit, and ends for each kernel when it reports the
elements (`nft monitor`).
"""

import asyncio
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer
from manager.store.changes import put
from manager.store.kinds import NODE, NODE_STATUS, TASK_STATUS
from manager.store.store import Store
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeSpec, NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_group import TaskGroup
from tests.bench.rig.bed import IMAGE, Bed, cluster
from tests.bench.rig.figures import Figure, p50, p99, table

TASKS, ROUNDS = 1_000, 20
RECORD = "record"
"""Id and host name of the node that is only a record."""
TIMEOUT_SECONDS = 60.0
BEGIN_SECONDS = 2.0
PAUSE_SECONDS = 0.3
"""Between changes, so that each is measured alone."""


class Kernel:
    """What the kernel of one host reports of elements of nftables, with the time."""

    def __init__(self, reported: "subprocess.Popen[str]") -> None:
        self._reporter = reported
        self._lines: list[tuple[float, str]] = []
        self._changes = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self._begin()

    def _read(self) -> None:
        assert self._reporter.stdout is not None
        for line in self._reporter.stdout:
            with self._changes:
                self._lines.append((time.perf_counter(), line))
                self._changes.notify_all()

    def _begin(self) -> None:
        """Wait until the monitor has read all that there is, and hears what comes (/proc/net/netlink: its groups)."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        place = Path(f"/proc/{self._reporter.pid}/net/netlink")
        while not any(_hears(line.split()) for line in place.read_text().splitlines()):
            if time.monotonic() > deadline:
                raise RuntimeError("nft monitor does not begin")
            time.sleep(PAUSE_SECONDS)
        time.sleep(BEGIN_SECONDS)

    def forget(self) -> None:
        """What was reported so far."""
        with self._changes:
            self._lines.clear()

    def first(self, verb: str, target: str) -> float:
        """When it first reported an element that leads to the target. Blocking."""
        with self._changes:
            if not self._changes.wait_for(lambda: self._find(verb, target), TIMEOUT_SECONDS):
                raise RuntimeError(f"no word of `{verb} … {target}`")
            return self._find(verb, target)

    def _find(self, verb: str, target: str) -> float:
        found = (at for at, line in self._lines if line.startswith(verb) and f": {target} }}" in line)
        return next(found, 0.0)


def _hears(columns: Sequence[str]) -> bool:
    """Whether a socket is one of netfilter's (12) and in a group."""
    return columns[1] == "12" and int(columns[3], 16) > 0


@contextmanager
def kernels(bed: Bed) -> Iterator[list[Kernel]]:
    """Those of all hosts."""
    with ExitStack() as stack:
        found = []
        for host in bed.playground.layout.all_hosts():
            enter = ["nsenter", f"--net=/run/netns/{host.namespace}"]
            monitor = [*enter, "stdbuf", "-oL", "nft", "monitor", "elements"]
            process = subprocess.Popen(monitor, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            found.append(Kernel(process))
        yield found


@asynccontextmanager
async def store_of(bed: Bed) -> AsyncIterator[Store]:
    """A second manager's store, on the etcd of the playground's."""
    socket = EtcdServer(bed.playground.layout.manager_state).socket
    async with own_member(socket) as members, TaskGroup() as group:
        store = Store(backend=Etcd(members=members))
        running = group.create_task(store.run())
        await store.ready()
        yield store
        running.cancel()


async def _service(bed: Bed, store: Store) -> list[Task]:
    """A service of 1,000 tasks that run, on the node that is a record; its tasks."""
    await asyncio.to_thread(bed.shoal, "network", "create", "front")
    await asyncio.to_thread(
        bed.shoal, "service", "create", "--name", "client", "--mode", "global", "--network", "front", IMAGE
    )
    model = next(iter(store.tables.node_status.values()))
    status = NodeStatus()
    status.CopyFrom(model)
    status.node_id = status.description.hostname = RECORD
    status.description.address, status.description.vtep_mac = "198.18.255.254", "02:56:00:00:ff:fe"
    status.description.resources.nano_cpus, status.description.resources.memory_bytes = 10**15, 10**15
    node = Node(meta=Meta(id=RECORD), spec=NodeSpec(availability=NodeSpec.ACTIVE))
    await store.commit([put(NODE, RECORD, node), put(NODE_STATUS, RECORD, status)])
    web = ("--name", "web", "--replicas", str(TASKS), "--constraint", f"node.id=={RECORD}", "--network", "front")
    await asyncio.to_thread(bed.shoal, "service", "create", "--detach", *web, IMAGE)
    tasks: list[Task] = []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(tasks) < TASKS:
            await asyncio.sleep(0.1)
            tasks = [task for task in store.tables.tasks.values() if task.node_id == RECORD and task.addresses]
    await store.commit_in_batches([put(TASK_STATUS, task.id, _status(task)) for task in tasks])
    return tasks


async def _programmed(bed: Bed, tasks: Sequence[Task]) -> None:
    """Wait until every host's kernel leads to all of the tasks."""
    desired = {task.addresses[0].address for task in tasks}
    async with asyncio.timeout(TIMEOUT_SECONDS):
        for host in bed.playground.layout.all_hosts():
            enter = ["nsenter", f"--net=/run/netns/{host.namespace}"]
            led: set[str] = set()
            while not desired <= led:
                done = await asyncio.to_thread(
                    subprocess.run, [*enter, "nft", "list", "table", "inet", "shoal"], capture_output=True, text=True
                )
                led = set(re.findall(r" : ([0-9.]+)", done.stdout))


def _status(task: Task, *, opening: bool = False) -> TaskStatus:
    now_ms = time.time_ns() // 1_000_000
    return TaskStatus(
        task_id=task.id, state=TaskState.RUNNING, at_ms=now_ms, running_at_ms=now_ms, not_listening=opening
    )


async def _change(store: Store, seen: Sequence[Kernel], task: Task, *, serves: bool) -> list[float]:
    """Seconds from before the commit to each kernel's word."""
    for kernel in seen:
        kernel.forget()
    begin = time.perf_counter()
    await store.commit([put(TASK_STATUS, task.id, _status(task, opening=not serves))])
    verb, target = "add" if serves else "delete", task.addresses[0].address
    reported = await asyncio.gather(*(asyncio.to_thread(kernel.first, verb, target) for kernel in seen))
    await asyncio.sleep(PAUSE_SECONDS)
    return [at - begin for at in reported]


async def _measure(bed: Bed) -> tuple[list[float], list[float]]:
    async with store_of(bed) as store:
        tasks = await _service(bed, store)
        await _programmed(bed, tasks)
        with kernels(bed) as seen:
            gone, come = [], []
            for task in tasks[:ROUNDS]:
                gone.append(max(await _change(store, seen, task, serves=False)))
                come.append(max(await _change(store, seen, task, serves=True)))
    return gone, come


def measure() -> list[Figure]:
    """Milliseconds to the last of the three kernels."""
    with cluster(3) as bed:
        gone, come = asyncio.run(_measure(bed))
    both = [seconds * 1000 for seconds in (*gone, *come)]
    return [
        Figure("one backend of 1,000, commit to 3 kernels, p50", p50(both), "ms", at_most=200, scope="end to end"),
        Figure("  p99", p99(both), "ms", at_most=200, scope="end to end"),
        Figure("  one that goes, p50", p50([each * 1000 for each in gone]), "ms", scope="end to end"),
        Figure("  one that comes, p50", p50([each * 1000 for each in come]), "ms", scope="end to end"),
    ]


if __name__ == "__main__":
    print(table(measure()))
