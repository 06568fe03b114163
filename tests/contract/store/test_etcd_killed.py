"""etcd is killed again and again while it is written to and watched: nothing is lost, doubled or out of order."""

import asyncio
import os
import signal
from pathlib import Path

from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer, etcd_server
from manager.store.kinds import TASK
from shoal.task_group import TaskGroup
from tests.contract.store.rig import running_store
from tests.contract.store.writers import Collecting, Writer, check, commit_at_the_end, every_writer_gets_on
from tests.polling import until

KILLS = 4
WRITERS = 6


async def kill_in_the_midst(server: EtcdServer, writers: list[Writer]) -> None:
    """Kill etcd, each time after every writer got on; they do after the last time too."""
    for _ in range(KILLS):
        await every_writer_gets_on(writers)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: server.pid not in (None, pid))  # noqa: B023
    await every_writer_gets_on(writers)


def test_kills_in_the_midst_of_writes_and_watches(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EtcdServer(tmp_path)
        writers = [Writer(f"w{number}") for number in range(WRITERS)]
        async with (
            etcd_server(server) as client,
            own_member(server.socket) as members,
            running_store(client) as store,
            running_store(Etcd(members=members)) as reader,
            Collecting(store) as own,
            Collecting(reader) as foreign,
        ):
            stop = asyncio.Event()
            async with TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run(store, stop))
                await kill_in_the_midst(server, writers)
                await every_writer_gets_on(writers)
                stop.set()
            last = await commit_at_the_end(store)
            await asyncio.gather(store.reached(last), reader.reached(last))
            await asyncio.gather(own.has("end"), foreign.has("end"))
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
        async with asyncio.timeout(150):
            await scenario()

    asyncio.run(limited())
