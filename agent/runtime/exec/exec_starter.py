"""Starts users' programs in containers. The OCI runtime starts them and exits first, so they become children of the
agent."""

import asyncio
import json
import os
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.exec.child_process import ChildProcess, kill
from agent.runtime.exec.exec_process import ExecProcess
from agent.runtime.exec.exec_streams import ExecStreams
from agent.runtime.exec.exec_thread import ExecThread
from agent.runtime.exec.session_limits import SessionLimits
from agent.runtime.kernel.processes import open_pidfd, process_start_time
from agent.runtime.rootfs.overlay_mount import read_in_root
from agent.runtime.spec.exec_spec import exec_failure, exec_process_section
from agent.runtime.spec.user_lookup import resolve_user
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import Fault, InvalidInput, NotFound, ShoalError, Unavailable

MAX_EXECS = 256
"""Users' programs on one node: each takes a few descriptors of the agent."""

MAX_EXECS_PER_CONTAINER = 64
"""Users' programs in one container: programs that cannot be killed in one container leave slots for others."""

_TERMINAL_SECONDS = 5.0
"""Time to receive the terminal after the OCI runtime has exited."""

_PREFIX = "user-exec-"


class CannotExecError(ShoalError):
    """The program could not be executed.

    Attributes:
        code: a shell's exit code for this: 126 or 127.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class _ExecFiles:
    """Files of one program, in the container's bundle."""

    stem: Path

    def named(self, suffix: str) -> Path:
        return self.stem.with_suffix(suffix)

    def delete(self, *suffixes: str) -> None:
        for suffix in suffixes or (".json", ".log", ".pid"):
            self.named(suffix).unlink(missing_ok=True)


def kill_orphans(bundle: Path) -> None:
    """Kill programs of an earlier agent process, which nobody can reach any more. Detached ones keep running."""
    for path in bundle.glob(f"{_PREFIX}*"):
        if path.name.startswith(f"{_PREFIX}{os.getpid()}-"):
            continue
        if path.suffix == ".pid":
            text = path.read_text()
            # The number may belong to another process by now.
            if text.isdecimal() and bundle.name in _cgroups_of(int(text)):
                kill(int(text))
        path.unlink(missing_ok=True)


class ExecStarter:
    """Starts users' programs.

    Args:
        available: capabilities that this host can grant.
    """

    def __init__(self, *, paths: ContainerPaths, exec_thread: ExecThread, available: Collection[str]) -> None:
        self._paths = paths
        self._exec_thread = exec_thread
        self._available = available
        self._number = 0
        self._limits = SessionLimits(per_container=MAX_EXECS_PER_CONTAINER, per_node=MAX_EXECS, plural="exec sessions")

    async def start(self, record: ContainerRecord, request: ExecStart) -> ExecProcess:
        """Start a program. One that is detached has no output, and need not be closed.

        Raises:
            CannotExecError: the program does not exist, or is not executable.
            InvalidInput: the container has no such user or group. NotFound: the container has exited.
            Exhausted: too many programs are running. Unavailable: the host failed.
        """
        closed = self._limits.open(record.task_id)
        # The start is completed even if the caller is cancelled: an unknown program could not be stopped.
        starting = asyncio.ensure_future(self._start(record, request, closed))
        try:
            return await asyncio.shield(starting)
        except OSError as error:
            if not self._paths.bundle(record.task_id).exists():
                raise _not_running(record) from None
            raise Unavailable(f"cannot run the program: {error.strerror}") from error
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                await starting.result().close()
            raise

    async def _start(self, record: ContainerRecord, request: ExecStart, closed: Callable[[], None]) -> ExecProcess:
        self._number += 1
        files = _ExecFiles(self._paths.bundle(record.task_id) / f"{_PREFIX}{os.getpid()}-{self._number}")

        def clean_up() -> None:
            closed()
            files.delete()

        with ExitStack() as undo:
            undo.callback(clean_up)
            await asyncio.to_thread(self._write_process, record, request, files.named(".json"))
            with ExitStack() as child_ends:
                streams = ExecStreams(request, child_ends=child_ends, console=files.named(".sock"))
                undo.callback(streams.close)
                child = await self._run(record, files, streams, request.args[0])
                process = ExecProcess(child, self._exec_thread, streams, on_exit=clean_up)
                undo.pop_all()
            # Without its pid file, a detached program is not killed by the next agent process.
            files.delete(".json", ".log", *((".pid",) if request.detach else ()))
            return process

    async def _run(
        self, record: ContainerRecord, files: _ExecFiles, streams: ExecStreams, program: str
    ) -> ChildProcess:
        """Run the OCI runtime until it exits; returns the program that it has started."""
        log, pid_file = files.named(".log"), files.named(".pid")
        words = ["--log", str(log), "--log-format", "json", "exec", "--detach", "--pid-file", str(pid_file)]
        words += ["--process", str(files.named(".json")), *streams.options]
        with self._exec_thread.reparenting():
            starter = await self._exec_thread.spawn_exec(record, words, streams.descriptors)
            terminal = asyncio.create_task(streams.receive_terminal()) if streams.has_terminal else None
            try:
                await starter.wait()
            finally:
                code = await self._exec_thread.terminate(starter)
                if code and terminal is not None:
                    terminal.cancel()
            if code:
                raise _failure(record, log, program)
            child = self._exec_thread.adopt(int(pid_file.read_text()))
        if terminal is not None:
            try:
                async with asyncio.timeout(_TERMINAL_SECONDS):
                    await terminal
            except (TimeoutError, Unavailable):
                child.kill()
                await self._exec_thread.terminate(child, user_exec=True)
                raise Unavailable(f"{record.program} did not provide a terminal") from None
        return child

    def _write_process(self, record: ContainerRecord, request: ExecStart, path: Path) -> None:
        own = json.loads((self._paths.bundle(record.task_id) / "config.json").read_text())["process"]
        user, own_home = None, ""
        if request.user:
            passwd, group = _account_files(record)
            own_home = resolve_user(str(own["user"]["uid"]), (), passwd=passwd, group=group).home
            try:
                user = resolve_user(request.user, (), passwd=passwd, group=group)
            except InvalidInput as error:
                raise InvalidInput([Fault("user", fault.message) for fault in error.faults]) from None
        process = exec_process_section(own, request, user=user, own_home=own_home, available=self._available)
        path.touch(mode=0o600)  # Variables may be secret.
        path.write_text(json.dumps(process))


def _not_running(record: ContainerRecord) -> NotFound:
    return NotFound(f"task {record.task_id} is not running")


def _account_files(record: ContainerRecord) -> tuple[str, str]:
    """The container's current /etc/passwd and /etc/group."""
    pidfd = open_pidfd(record.pid, record.pid_started)
    if pidfd is None:
        raise _not_running(record)
    try:
        root = Path(f"/proc/{record.pid}/root")
        found = read_in_root(root, "/etc/passwd"), read_in_root(root, "/etc/group")
        if process_start_time(record.pid) != record.pid_started:  # the number may belong to another process by now
            raise _not_running(record)
        return found
    except OSError as error:
        raise _not_running(record) from error
    finally:
        os.close(pidfd)


def _failure(record: ContainerRecord, log: Path, program: str) -> ShoalError:
    """The error for the OCI runtime's last message, from its log of JSON lines."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    messages = [str(line["msg"]) for line in map(_parsed, lines) if "msg" in line]
    if process_start_time(record.pid) != record.pid_started:
        return _not_running(record)
    if not messages:
        return Unavailable(f"{record.program} could not run the program and gave no reason")
    return CannotExecError(*exec_failure(messages[-1], program))


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {"msg": line}
    return found if isinstance(found, dict) else {}


def _cgroups_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
