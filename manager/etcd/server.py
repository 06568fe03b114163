"""The etcd server that a manager runs itself, for itself alone or as one of several members.

Its clients' socket is a Unix socket in a private directory, always: a manager uses no etcd but the one beside it.
"""

import asyncio
import itertools
import logging
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from manager.etcd.client import Etcd
from manager.etcd.data_release import (
    forget_data_release,
    load_data_release,
    program_release,
    record_data_release,
    warn_if_old,
)
from manager.etcd.layout import CLIENT_SOCKET, PEER_SOCKET, layout_flags, load_layout
from manager.etcd.left_processes import locked, running_on, send_signal
from manager.etcd.members import own_member
from manager.etcd.releases import EtcdRelease, check_data, flag
from manager.etcd.server_log import ServerLog
from manager.membership.member_api import RemovedFromCluster
from shoal.daemons.sd_notify import sd_notify
from shoal.errors import Unavailable
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

_INITIALIZED = "initialized"
_FLAGS = (
    f"--listen-client-urls=unix://{CLIENT_SOCKET}",
    f"--advertise-client-urls=unix://{CLIENT_SOCKET}",
    "--enable-grpc-gateway=false",
    "--max-txn-ops=1024",
    "--auto-compaction-mode=periodic",
    "--auto-compaction-retention=10m",
    "--log-level=warn",
    "--logger=zap",
)
MIN_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 10.0
STABLE_SECONDS = 10.0
"""After running for so long, the delay starts again at its minimum."""
MAJORITY_SECONDS = 5.0
"""In which members that are started at the same time have found each other."""
START_TIMEOUT_USEC = 60_000_000
"""For systemd, each time that etcd has been waited for: it may copy or read a large database."""
_REMOVED = b"member has been permanently removed from the cluster"
"""What etcd logs when it exits because the other members have removed it."""

Meanwhile = Callable[[], Coroutine[None, None, None]]


class EtcdServer:
    """Starts etcd, restarts it when it exits, and stops it.

    Args:
        state_directory: absolute; etcd's data, sockets and log live in `etcd/` below it, mode 0700.
        program: the etcd to run.
        stop_seconds: from SIGTERM to SIGKILL.
        quota_bytes: of etcd's database, history included; writes fail beyond it.
        force_new_cluster: continue with these data as the only member, all others being lost.
        unsafe_no_fsync: for tests and benchmarks only: a power cut loses data.
    Attributes:
        written_at_ms: when its data were last written before it was started here, milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        state_directory: Path,
        *,
        program: str = "/usr/bin/etcd",
        stop_seconds: float = 5.0,
        quota_bytes: int = 8 << 30,
        force_new_cluster: bool = False,
        unsafe_no_fsync: bool = False,
    ) -> None:
        self.directory = state_directory / "etcd"
        self._log = ServerLog(self.directory)
        self._program = program
        self._stop_seconds = stop_seconds
        self.quota_bytes = quota_bytes
        self._extra = (
            f"--quota-backend-bytes={quota_bytes}",
            *(("--force-new-cluster",) if force_new_cluster else ()),
            *(("--unsafe-no-fsync",) if unsafe_no_fsync else ()),
        )
        self.written_at_ms = 0
        self._process: asyncio.subprocess.Process | None = None
        self._restarting = False
        self._release = ""

    @property
    def release(self) -> str:
        """Of the etcd that was started last, "3.5.16"."""
        return self._release

    @property
    def has_peers(self) -> bool:
        """It is started as one of several members."""
        return load_layout(self.directory) is not None

    @property
    def socket(self) -> Path:
        """Its client socket, for `manager.etcd.members.own_member`."""
        return self.directory / CLIENT_SOCKET

    @property
    def pid(self) -> int | None:
        """Process id of the running etcd; None while it is not running."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def may_lack_majority(self) -> bool:
        """Whether it has data, and needs other members to respond."""
        return (self.directory / _INITIALIZED).exists() and load_layout(self.directory) is not None

    def of_copy(self, state_directory: Path) -> "EtcdServer":
        """A server for a copy of the data, in a state directory of its own; it takes itself for the only member."""
        return EtcdServer(state_directory, program=self._program, force_new_cluster=True, unsafe_no_fsync=True)

    async def run(self) -> None:
        """Keep etcd running until cancelled, then stop it.

        Raises:
            Refused: another manager uses this state directory.
            RemovedFromCluster: the other members have removed it.
            WrongRelease: the program is of a release that cannot use the data.
            Unavailable: the program cannot be started.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        with locked(self.directory / "lock"):
            await self._stop_stale_processes()
            self.written_at_ms = _last_written_ms(self.directory / "data")
            delay = MIN_DELAY_SECONDS
            while True:
                seconds = await self._run_once()
                if self._restarting:
                    self._restarting = False
                    continue
                self._check_removed()
                delay = MIN_DELAY_SECONDS if seconds > STABLE_SECONDS else min(2 * delay, MAX_DELAY_SECONDS)
                _log.error(
                    "etcd exited after %.1f s; restarting it in %.1f s (see log and log.previous in %s)",
                    seconds,
                    delay,
                    self.directory,
                )
                await asyncio.sleep(delay)

    async def _run_once(self) -> float:
        """Run etcd until it exits; returns for how many seconds it ran."""
        clock = asyncio.get_running_loop().time
        started = clock()
        program = self._find_program()
        release = await program_release(program)
        self._check_data(release)
        self._prepare_directory()
        self._release = str(release)
        with self._log.opened() as log:
            self._process = await self._start(program, release, log)
        bounding = asyncio.create_task(self._log.keep_bounded(), name="log of etcd")
        try:
            await self._process.wait()
        finally:
            bounding.cancel()
            await self._stop(self._process)
        return clock() - started

    def _check_data(self, release: EtcdRelease) -> None:
        """Raises WrongRelease: it cannot use the data that are there."""
        written = load_data_release(self.directory)
        if written is not None and (self.directory / "data").exists():
            check_data(release, written, str(self.directory))

    async def restart(self) -> None:
        """Stop etcd and start it again at once, as its layout says now. It responds later."""
        if self._process is not None and self._process.returncode is None:
            self._restarting = True
            await self._stop(self._process)

    def _check_removed(self) -> None:
        """Raises RemovedFromCluster: etcd exited since it is a member no more. With its data it never starts again."""
        if self._process is None or load_layout(self.directory) is None:
            return
        if self._log.has(_REMOVED):
            kept_as = self.quarantine_data("removed")
            raise RemovedFromCluster(
                f"this manager was removed from the cluster; the data of its etcd were moved to {kept_as}"
            )

    def quarantine_data(self, reason: str) -> Path:
        """Move the data away, so that etcd starts without any; returns where they are."""
        data = self.directory / "data"
        kept_as = next(p for n in itertools.count(1) if not (p := self.directory / f"data.{reason}.{n}").exists())
        data.rename(kept_as)
        (self.directory / _INITIALIZED).unlink(missing_ok=True)
        forget_data_release(self.directory)
        return kept_as

    def mark_initialized(self) -> None:
        """Mark the data directory as initialized: etcd has responded."""
        (self.directory / _INITIALIZED).touch()

    def _prepare_directory(self) -> None:
        """Remove what a killed etcd leaves behind: its sockets, and a data directory that it had not finished creating,
        with which it would wait for a leader forever. Nothing has been written to that yet.
        """
        data = self.directory / "data"
        if data.exists() and not (self.directory / _INITIALIZED).exists() and load_layout(self.directory) is None:
            kept_as = self.quarantine_data("unfinished")
            _log.warning("etcd was stopped before its first start completed; its data was moved to %s", kept_as)
        for name in (CLIENT_SOCKET, PEER_SOCKET):
            (self.directory / name).unlink(missing_ok=True)

    def _find_program(self) -> str:
        program = shutil.which(self._program)
        if program is None:
            raise Unavailable(
                f"cannot start etcd: {self._program} not found; install it, e.g. with `apt-get install etcd-server`"
            )
        return program

    async def _start(self, program: str, release: EtcdRelease, log: IO[bytes]) -> asyncio.subprocess.Process:
        # setpriv: the kernel stops etcd when this process dies, even by SIGKILL.
        command = ("setpriv", "--pdeathsig", "TERM", program, f"--data-dir={self.directory / 'data'}")
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                *_FLAGS,
                f"{flag('watch-progress-notify-interval', release)}=5s",
                *layout_flags(load_layout(self.directory), self.directory, release),
                *self._extra,
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Without this process's ETCD_* variables, which etcd would read.
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
                start_new_session=True,  # Ctrl-C is for this process, which then stops etcd.
            )
        except OSError as error:
            raise Unavailable(f"cannot start etcd: {error}; setpriv is part of util-linux") from error

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        """Return once it has ended, however often this is cancelled meanwhile: none is left behind."""
        if process.returncode is not None:
            return
        ending = asyncio.create_task(self._end(process), name="end of etcd")
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError as error:
                cancelled = error
        ending.result()
        if cancelled is not None:
            raise cancelled

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        process.terminate()
        try:
            async with asyncio.timeout(self._stop_seconds):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _stop_stale_processes(self) -> None:
        """Stop an etcd that a previous run of this manager left; the lock is held, so no other manager uses it."""
        deadline = asyncio.get_running_loop().time() + self._stop_seconds
        while pids := running_on(self.directory / "data", Path("/proc")):
            late = asyncio.get_running_loop().time() > deadline
            for pid in pids:
                _log.warning("stopping etcd (pid %d), left over from a previous run of this manager", pid)
                send_signal(pid, signal.SIGKILL if late else signal.SIGTERM)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def etcd_server(server: EtcdServer, meanwhile: Meanwhile | None = None) -> AsyncGenerator[Etcd]:
    """Run the server while the block lasts, and yield a client once it responds. If it fails, so does the block.

    Args:
        meanwhile: runs while a server with data finds no majority of the members, and is cancelled when it responds.
    """
    async with TaskGroup() as group:
        running = group.create_task(server.run(), name="etcd")
        recording = None
        try:
            async with own_member(server.socket) as members:
                client = Etcd(members=members)
                responding = group.create_task(first_answer(client), name="first response of etcd")
                if meanwhile is not None and server.may_lack_majority:
                    await _wait_with(meanwhile, responding)
                warn_if_old(await responding, several=server.has_peers)
                server.mark_initialized()
                recording = group.create_task(
                    record_data_release(server.directory, server.socket), name="release of etcd"
                )
                yield client
        finally:
            if recording is not None:
                recording.cancel()
            running.cancel()


async def _wait_with(meanwhile: Meanwhile, responding: asyncio.Task[str]) -> None:
    done, _ = await asyncio.wait((responding,), timeout=MAJORITY_SECONDS)
    if done:
        return
    _log.warning("etcd finds no majority of its members; start the other managers")
    async with TaskGroup() as group:
        serving = group.create_task(meanwhile(), name="while etcd has no majority")
        await asyncio.wait((responding,))
        serving.cancel()


async def first_answer(client: Etcd) -> str:
    """The server's version, once it responds; it may first have to read a large log."""
    while True:
        sd_notify(f"EXTEND_TIMEOUT_USEC={START_TIMEOUT_USEC}", os.environ)
        try:
            await client.read([b"/"])  # Unlike the version, this requires a leader.
            return await client.version()
        except Unavailable as error:
            _log.warning("waiting for etcd: %s", error)


def _last_written_ms(data: Path) -> int:
    """Of the files of its log and its database; 0: there are none."""
    files = (each for each in data.rglob("*") if each.suffix == ".wal" or each.name == "db")
    return max((each.stat().st_mtime_ns // 1_000_000 for each in files), default=0)
