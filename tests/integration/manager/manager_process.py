"""A real manager with its own etcd in a subprocess, and an etcd of nobody's own."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpc import aio

from shoal.api.v1.control_pb2 import CreateJoinTokenRequest, GetClusterRequest, ListManagersRequest
from shoal.api.v1.control_pb2_grpc import ControlStub
from shoal.identity.identity import Identity
from shoal.rpc.channel import connect_aio
from tests.contract.store.etcd_cluster import wait_until_healthy
from tests.ports import free_port

START_SECONDS = 90.0
STOP_SECONDS = 60.0


@dataclass
class ManagerProcess:
    """`shoal-manager run` on loopback; may be started again after it ended."""

    state: Path
    api: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    joining: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    more: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.state.parent / "manager.log").read_text()

    def start(self) -> None:
        command = [sys.executable, "-m", "manager.main", "run", "--state-directory", str(self.state)]
        command += ["--api-address", self.api, "--join-address", self.joining, "--heartbeat-seconds", "0.5", *self.more]
        with (self.state.parent / "manager.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    async def ready(self) -> Any:
        """A stub of the API, once it answers and a manager leads."""
        deadline = time.monotonic() + START_SECONDS
        while not (self.state / "admin" / "address").exists():
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.05)
        control = ControlStub(self.channel())
        while True:
            with suppress(aio.AioRpcError):
                if (await control.GetCluster(GetClusterRequest(), timeout=5)).leader_id:
                    return control
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.05)

    def channel(self) -> aio.Channel:
        """Closed with the loop at the end of the test's process."""
        return connect_aio([self.api], Identity.load(self.state / "admin"))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP, of it alone."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_SECONDS)

    def end(self) -> None:
        """Whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    def resident_kib(self) -> int:
        """The manager's own resident memory, without its etcd."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@asynccontextmanager
async def running_manager(directory: Path, *more: str) -> AsyncGenerator[tuple[ManagerProcess, Any]]:
    """A manager that leads, and its API.

    Args:
        more: options of `shoal-manager run`; of two of the same name the last one counts.
    """
    manager = ManagerProcess(directory / "manager", more=more)
    manager.start()
    try:
        yield manager, await manager.ready()
    finally:
        manager.end()


@dataclass
class EtcdProcess:
    """An etcd of nobody's own on loopback, with its defaults but for some flags; may be started again."""

    directory: Path
    flags: tuple[str, ...] = ()
    client: int = field(default_factory=free_port)
    peer: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client}"

    def start(self) -> None:
        client, peer = f"http://{self.endpoint}", f"http://127.0.0.1:{self.peer}"
        command = ["etcd", f"--data-dir={self.directory}", "--logger=zap", "--log-level=error", *self.flags]
        command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        command += [f"--initial-cluster=default={peer}"]
        with (self.directory.parent / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_healthy(self) -> None:
        """A manager that is started before waits for a few seconds only."""
        wait_until_healthy(f"http://{self.endpoint}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def shared_etcd(directory: Path, *flags: str) -> Generator[str]:
    """An `EtcdProcess` for as long as the block; its endpoint."""
    etcd = EtcdProcess(directory / "shared-etcd", flags)
    etcd.start()
    try:
        etcd.wait_until_healthy()
        yield etcd.endpoint
    finally:
        etcd.kill()


async def until_registered(number: int, *controls: Any) -> None:
    """Wait until each of these managers lists so many as running; one that answers may not be registered yet."""

    async def are_registered() -> bool:
        answers = [await control.ListManagers(ListManagersRequest()) for control in controls]
        return all(sum(each.alive for each in answer.managers) == number for answer in answers)

    await until(are_registered, f"each manager lists {number} as running")


async def join_token_of(control: Any) -> str:
    """A new join token."""
    return str((await control.CreateJoinToken(CreateJoinTokenRequest())).token)


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition of a running system."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.02)
