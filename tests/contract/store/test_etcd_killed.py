"""etcd is killed again and again while it is written to and watched: nothing is lost, doubled or out of order."""

import asyncio
import itertools
import os
import signal
from collections import defaultdict
from pathlib import Path

from manager.store.changes import Change, put
from manager.store.etcd import Etcd
from manager.store.etcd_channel import socket_channel
from manager.store.kinds import TASK
from manager.store.server import EtcdServer, etcd_server
from manager.store.store import Store
from manager.store.subscription import Subscription
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Timeout, Unavailable
from shoal.task_group import TaskGroup
from tests.contract.store.rig import running_store, until

KILLS = 4
WRITERS = 6


class Writer:
    """Counts one task's `attempt` up, and knows which counts etcd acknowledged."""

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        self.acknowledged: list[int] = []
        self.doubtful: set[int] = set()

    async def run(self, store: Store, stop: asyncio.Event) -> None:
        for count in itertools.count(1):
            if stop.is_set():
                return
            task = Task(id=self.identifier, attempt=count)
            other = Task(id=f"{self.identifier}-{count % 7}", attempt=count)
            try:
                await store.commit([put(TASK, task.id, task), put(TASK, other.id, other)])
                self.acknowledged.append(count)
            except (Timeout, Unavailable):
                self.doubtful.add(count)


async def collect(subscription: Subscription, into: dict[str, list[Change]]) -> None:
    async for batch in subscription:
        for change in batch:
            into[change.identifier].append(change)


def check(writer: Writer, changes: list[Change]) -> None:
    """All acknowledged counts were told once and in order; what else was told had no answer."""
    told = [change.new.attempt for change in changes if isinstance(change.new, Task)]
    assert told == sorted(set(told))
    assert set(writer.acknowledged) <= set(told) <= set(writer.acknowledged) | writer.doubtful
    assert [change.old for change in changes] == [None, *(change.new for change in changes[:-1])]


async def kill_in_the_midst(server: EtcdServer, writers: list[Writer]) -> None:
    """Kill etcd, each time after every writer got on."""
    for _ in range(KILLS):
        goals = [len(writer.acknowledged) + 20 for writer in writers]
        await until(lambda: all(len(w.acknowledged) >= goal for w, goal in zip(writers, goals, strict=True)))  # noqa: B023
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: server.pid not in (None, pid))  # noqa: B023


def test_kills_in_the_midst_of_writes_and_watches(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EtcdServer(tmp_path)
        writers = [Writer(f"w{number}") for number in range(WRITERS)]
        own: dict[str, list[Change]] = defaultdict(list)
        foreign: dict[str, list[Change]] = defaultdict(list)
        async with (
            etcd_server(server) as client,
            socket_channel(server.socket) as channel,
            running_store(client) as store,
            running_store(Etcd(channel=channel)) as reader,
        ):
            with (
                store.follow() as mine,
                reader.follow() as others,
                _Collecting(mine, own),
                _Collecting(others, foreign),
            ):
                stop = asyncio.Event()
                async with TaskGroup() as group:
                    for writer in writers:
                        group.create_task(writer.run(store, stop))
                    await kill_in_the_midst(server, writers)
                    stop.set()
                last = await store.commit([put(TASK, "end", Task(id="end"))])
                await asyncio.gather(store.reached(last), reader.reached(last))
                await until(lambda: own["end"] and foreign["end"])
            for writer in writers:
                check(writer, own[writer.identifier])
                check(writer, foreign[writer.identifier])
            stored = await client.range(b"/", b"0")
            assert {r.key: (r.value, r.mod_revision) for r in stored.records} == {
                TASK.key(key): (task.SerializeToString(), reader.version_of(TASK, key))
                for key, task in reader.tables.tasks.items()
            }
            assert reader.tables.tasks == store.tables.tasks

    async def limited() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(limited())


class _Collecting:
    """Collects a subscription's changes while the block runs."""

    def __init__(self, subscription: Subscription, into: dict[str, list[Change]]) -> None:
        self._coroutine = collect(subscription, into)

    def __enter__(self) -> None:
        self._task = asyncio.ensure_future(self._coroutine)

    def __exit__(self, *_: object) -> None:
        self._task.cancel()
