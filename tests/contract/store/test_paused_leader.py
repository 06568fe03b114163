"""A leader that was stopped for longer than its lease and goes on: it believes that it leads, and etcd refuses it."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from manager.etcd.server import EtcdServer, etcd_server
from manager.leadership.leadership import Leadership
from manager.store.changes import Change, put
from manager.store.kinds import TASK
from shoal.api.v1.task_pb2 import Task
from shoal.task_group import TaskGroup
from tests.contract.store.rig import running_store
from tests.contract.store.writers import Collecting
from tests.polling import until

TTL_SECONDS = 2

PAUSED = """
import asyncio, itertools, sys
from pathlib import Path
from manager.store.backend import Compare, CompareTarget, Put
from manager.store.changes import put
from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.store.kinds import LEADER, TASK
from manager.store.store import Store
from shoal.api.v1.task_pb2 import Task
from shoal.errors import LeadershipLost
from shoal.task_group import TaskGroup

async def main():
    async with own_member(Path(sys.argv[1])) as members, TaskGroup() as group:
        etcd = Etcd(members=members)
        store = Store(backend=etcd)
        group.create_task(store.run())
        await store.ready()

        # Not by Leadership, which would notice by the clock that its lease is over: the fence alone is to stop it.
        lease = await etcd.grant(2)
        key = LEADER.key("")
        taken = await etcd.txn((Compare(key, CompareTarget.CREATED_AT, 0),), (Put(key, b"", lease),))
        group.create_task(keep_alive(etcd, lease))
        for attempt in itertools.count(1):
            try:
                await store.commit([put(TASK, "t", Task(id="t", attempt=attempt))], fence=taken.revision)
            except LeadershipLost:
                print("deposed", flush=True)
                await asyncio.Event().wait()
            if attempt == 1:
                print("leads", flush=True)

async def keep_alive(etcd, lease):
    while await etcd.keep_alive(lease):
        await asyncio.sleep(0.5)

asyncio.run(main())
"""


def start_leader(socket: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", PAUSED, str(socket)], stdout=subprocess.PIPE, text=True)


async def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


def test_a_paused_leader_writes_nothing_when_it_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EtcdServer(tmp_path, unsafe_no_fsync=True)
        fences: list[int] = []

        async def lead(fence: int) -> None:
            fences.append(fence)
            await asyncio.Event().wait()

        async with (
            asyncio.timeout(150),
            etcd_server(server) as client,
            running_store(client) as store,
            Collecting(store) as collected,
            TaskGroup() as group,
        ):
            with start_leader(server.socket) as paused:
                leading = None
                try:
                    assert await line(paused) == "leads"
                    paused.send_signal(signal.SIGSTOP)
                    leading = group.create_task(Leadership(store, client, "other", ttl_seconds=TTL_SECONDS).run(lead))
                    await until(lambda: fences)
                    await store.commit([put(TASK, "begin", Task(id="begin"))], fence=fences[0])
                    await collected.has("begin")
                    before = list(collected["t"])
                    paused.send_signal(signal.SIGCONT)
                    assert await line(paused) == "deposed"
                    await store.reached(await store.commit([put(TASK, "end", Task(id="end"))], fence=fences[0]))
                    await collected.has("end")
                    assert collected["t"] == before
                    assert attempts(before) == list(range(1, len(before) + 1))
                finally:
                    paused.kill()
                    if leading is not None:
                        leading.cancel()

    asyncio.run(scenario())


def attempts(changes: list[Change]) -> list[int]:
    return [change.new.attempt for change in changes if isinstance(change.new, Task)]
