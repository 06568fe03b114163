"""The etcd that a manager runs for itself: who can reach it, and what is left of it."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from manager.etcd.left_processes import running_on
from manager.etcd.server import EtcdServer, etcd_server
from manager.store.backend import Put
from manager.store.changes import put
from manager.store.kinds import SERVICE
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.errors import Exhausted, Refused, Unavailable
from tests.contract.store.rig import running_store
from tests.polling import until

PROC = Path("/proc")
MANAGER = """
import asyncio, sys
from pathlib import Path
from manager.store.changes import put
from manager.store.kinds import SERVICE
from manager.etcd.server import EtcdServer, etcd_server

async def main():
    async with etcd_server(EtcdServer(Path(sys.argv[1]), unsafe_no_fsync=True)):
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def data(directory: Path) -> Path:
    return directory / "etcd" / "data"


def tcp_listeners(pid: int) -> list[str]:
    """Addresses on which a process listens for TCP, as /proc has them: its sockets that are in state LISTEN (0A)."""
    sockets = set()
    for entry in (PROC / str(pid) / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            sockets.add(str(entry.readlink()))
    lines = [line.split() for name in ("tcp", "tcp6") for line in (PROC / "net" / name).read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]


def start(command: list[str], directory: Path) -> subprocess.Popen[bytes]:
    """A process that outlives the scenario unless it is ended."""
    return subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE)


def test_it_is_ours_alone_and_gone_when_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EtcdServer(tmp_path, unsafe_no_fsync=True)
        async with etcd_server(server) as client:
            await client.txn((), [Put(b"a", b"1")])
            assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
            assert server.socket.is_socket()
            assert server.pid is not None
            assert not tcp_listeners(server.pid)
        assert not running_on(data(tmp_path), PROC)
        async with etcd_server(EtcdServer(tmp_path, unsafe_no_fsync=True)) as client:
            assert (await client.read([b"a"])).records[b"a"].value == b"1"

    asyncio.run(scenario())


def test_a_second_manager_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with etcd_server(EtcdServer(tmp_path, unsafe_no_fsync=True)):
            with pytest.raises(Refused, match="another manager is using"):
                await EtcdServer(tmp_path).run()

    asyncio.run(scenario())


def test_missing_program_is_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(Unavailable, match="/nonexistent/etcd"):
            await EtcdServer(tmp_path, program="/nonexistent/etcd").run()

    asyncio.run(scenario())


def test_killed_manager_leaves_no_etcd(tmp_path: Path) -> None:
    async def scenario() -> None:
        with start([sys.executable, "-c", MANAGER, str(tmp_path)], Path.cwd()) as manager:
            assert manager.stdout is not None
            assert await asyncio.to_thread(manager.stdout.readline) == b"up\n"
            assert len(running_on(data(tmp_path), PROC)) == 1
            manager.kill()
        await until(lambda: not running_on(data(tmp_path), PROC))

    asyncio.run(scenario())


def start_leftover(directory: Path) -> subprocess.Popen[bytes]:
    """An etcd on the same data that no manager supervises; its client socket is `left:0`."""
    command = ["/usr/bin/etcd", f"--data-dir={data(directory)}", "--log-level=error", "--logger=zap"]
    command += [f"--{kind}-urls=unix://left:0" for kind in ("listen-client", "advertise-client")]
    command += [f"--{kind}-urls=unix://peer:0" for kind in ("listen-peer", "initial-advertise-peer")]
    command += ["--initial-cluster=default=unix://peer:0"]
    return start(command, directory / "etcd")


def test_leftover_etcd_is_replaced_and_its_data_are_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with etcd_server(EtcdServer(tmp_path, unsafe_no_fsync=True)) as client:
            await client.txn((), [Put(b"a", b"1")])
        with start_leftover(tmp_path) as leftover:
            try:
                await until((tmp_path / "etcd" / "left:0").is_socket)
                server = EtcdServer(tmp_path, unsafe_no_fsync=True)
                async with etcd_server(server) as client:
                    assert leftover.poll() is not None
                    assert running_on(data(tmp_path), PROC) == [server.pid]
                    assert (await client.read([b"a"])).records[b"a"].value == b"1"
            finally:
                leftover.kill()

    asyncio.run(scenario())


def test_etcd_killed_while_it_creates_its_data_starts_from_scratch(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "etcd").mkdir(mode=0o700)
        with start_leftover(tmp_path) as unfinished:
            try:
                await until((data(tmp_path) / "member").is_dir)
            finally:
                unfinished.kill()
        async with etcd_server(EtcdServer(tmp_path, unsafe_no_fsync=True)) as client:
            await client.txn((), [Put(b"a", b"1")])
        assert (tmp_path / "etcd" / "data.unfinished.1").is_dir()

    asyncio.run(scenario())


def test_etcd_that_dies_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EtcdServer(tmp_path, unsafe_no_fsync=True)
        async with etcd_server(server) as client:
            first = server.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await until(lambda: server.pid not in (None, first))
            assert (await client.read([b"a"])).records == {}

    asyncio.run(scenario())


def test_an_exhausted_quota_is_reported_and_compaction_frees_space(tmp_path: Path) -> None:
    large = put(SERVICE, "s", Service(spec=ServiceSpec(name="x" * 900_000)))

    async def scenario() -> None:
        server = EtcdServer(tmp_path, quota_bytes=4 << 20, unsafe_no_fsync=True)
        async with etcd_server(server) as client, running_store(client) as store:
            with pytest.raises(Exhausted, match="shoal cluster compact"):
                for _ in range(20):
                    await store.commit([large])
            (full,) = await client.maintenance.status()
            assert "writes are rejected" in full.problem
            (roomy,) = await client.maintenance.compact()
            assert not roomy.problem
            assert roomy.database_bytes < full.database_bytes
            await store.commit([large])

    asyncio.run(scenario())


DEAF = """\
#!/bin/sh
test "$1" = --version && { echo "etcd Version: 3.5.16"; exit; }
trap '' TERM
: > "$0.has-its-trap"
while :; do sleep 0.1; done
"""


def test_one_that_does_not_end_is_killed_however_often_its_manager_is_told_to_end(tmp_path: Path) -> None:
    program = tmp_path / "deaf-etcd"
    program.write_text(DEAF)
    program.chmod(0o755)

    async def scenario() -> int:
        server = EtcdServer(tmp_path, program=str(program), stop_seconds=0.5)
        running = asyncio.create_task(server.run())
        await until(lambda: server.pid is not None)
        pid = server.pid or 0
        await until(program.with_name("deaf-etcd.has-its-trap").exists)
        for _ in range(3):
            running.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await running
        return pid

    assert not (PROC / str(asyncio.run(scenario()))).exists()
