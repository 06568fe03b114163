"""For the tests of `shoal exec`: a manager whose programs are generators, and the command in a process of its own."""

# ruff: noqa: N802  # the methods are named by the protocol

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from shoal.api.v1.control_pb2 import (
    ListServicesRequest,
    ListServicesResponse,
    ListTasksRequest,
    ListTasksResponse,
    LogSource,
    LogsRequest,
    LogsResponse,
    ServiceView,
    TaskView,
)
from shoal.api.v1.control_pb2_grpc import ControlServicer, add_ControlServicer_to_server
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted, LogBatch, LogChunk
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.contexts.context_store import ContextStore
from shoal.errors import ShoalError
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.status_mapping import code_of, details_of, trailer_of

Program = Callable[[Iterator[ExecInput]], Iterator[ExecOutput]]
"""Takes what comes after the start, and answers. What it raises of `ShoalError` is the answer too."""

DEADLINE_SECONDS = 60.0
"""For what comes at once; a machine that is busy with other work is given time."""

STARTED = ExecOutput(started=ExecStarted(task_id="t1", task_name="web.1"))


def out(data: bytes) -> ExecOutput:
    return ExecOutput(stdout=data)


def err(data: bytes) -> ExecOutput:
    return ExecOutput(stderr=data)


def end(code: int = 0, error: str = "") -> ExecOutput:
    return ExecOutput(end=ExecEnd(exit_code=code, error=error))


def echo(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
    """Says that it runs, then repeats what it is told; ends with 40 at the end of its input, with 41 for a `q`."""
    yield STARTED
    yield out(b"ready\n")
    for message in messages:
        match message.WhichOneof("kind"):
            case "stdin" if message.stdin == b"q":
                yield end(41)
                return
            case "stdin":
                yield out(b"<" + message.stdin + b">\n")
            case "signal":
                yield out(message.signal.encode() + b"\n")
            case "resize":
                yield out(f"{message.resize.columns}x{message.resize.rows}\n".encode())
            case "close_stdin":
                yield end(40)
                return


@dataclass
class Manager(ControlServicer):
    """Runs one program, again and again.

    Attributes:
        starts: what it was asked to run.
        left: a call has ended, whoever ended it.
        lines: the logs of its task are these, again and again; none: it says nothing more.
    """

    lines: bytes = b""
    program: Program = echo
    starts: list[ExecStart] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def Exec(self, request_iterator: Iterator[ExecInput], context: Any) -> Iterator[ExecOutput]:
        context.add_callback(self.left.set)
        self.starts.append(next(request_iterator).start)
        self.asked.set()
        try:
            yield from self.program(request_iterator)
        except ShoalError as error:
            context.set_trailing_metadata(trailer_of(error))
            context.abort(code_of(error), details_of(error))
        except grpc.RpcError:
            return  # the caller has gone

    def Logs(self, request: LogsRequest, context: Any) -> Iterator[LogsResponse]:
        gone = threading.Event()
        context.add_callback(gone.set)
        self.asked.set()
        yield LogsResponse(source=LogSource(task_id="t1", task_name="web.1.t1", node_hostname="h1"))
        batch = LogBatch(chunks=[LogChunk(task_id="t1", lines=self.lines)])
        while self.lines and not gone.is_set():
            yield LogsResponse(batch=batch)
        gone.wait()

    def ListTasks(self, request: ListTasksRequest, context: Any) -> ListTasksResponse:
        states = {1: TaskState.RUNNING, 2: TaskState.STARTING, 3: TaskState.FAILED}
        return ListTasksResponse(
            tasks=[
                TaskView(task=Task(id=f"t{slot}", slot=slot), status=TaskStatus(state=state), service_name="web")
                for slot, state in states.items()
            ]
        )

    def ListServices(self, request: ListServicesRequest, context: Any) -> ListServicesResponse:
        named = (ServiceView(service=Service(spec=ServiceSpec(name=name))) for name in ("web", "db"))
        return ListServicesResponse(services=named)


SCRIPT = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
{before}
from cli.entry_point import program
program()
"""
"""Whoever runs the tests may have ignored signals, which processes inherit."""


INTERRUPTED_WHILE_IT_WAITS = """
import os, signal, sys, threading
made = threading.Condition.__init__

def make(self, lock=None):
    made(self, lock)
    release = self._release_save
    def interrupted():
        state = release()
        of_grpc = sys._getframe(2).f_code.co_filename.endswith("grpc/_common.py")
        if of_grpc and threading.current_thread() is threading.main_thread():
            os.kill(os.getpid(), signal.SIGINT)
        return state
    self._release_save = interrupted

threading.Condition.__init__ = make
"""
"""For `Rig.start`: SIGINT comes whenever gRPC begins to wait for an answer, where an exception would do harm: the lock
of a condition is released, and nothing takes it again.
"""


@dataclass
class Rig:
    """A manager that listens, and a context that leads to it."""

    manager: Manager
    server: grpc.Server
    address: str
    environment: Mapping[str, str]

    def start(self, *words: str, before: str = "", shell: str = "", **settings: Any) -> subprocess.Popen[bytes]:
        """The command `shoal WORDS…`, with pipes where nothing else is said.

        Args:
            before: Python, for its process before the command begins.
            shell: redirections.
        """
        command = [sys.executable, "-c", SCRIPT.format(before=before), *words]
        if shell:
            command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
        piped = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        env = {**self.environment, **settings.pop("env", {})}
        return subprocess.Popen(command, env=env, **{**piped, **settings})

    def run(self, *words: str, **settings: Any) -> tuple[int, bytes, str]:
        """Exit code, standard output and standard error of a command that ends by itself."""
        given = settings.pop("input", None)
        if given is not None:
            settings["stdin"] = subprocess.PIPE
        with killed(self.start(*words, **settings)) as process:
            written, reported = process.communicate(given, timeout=DEADLINE_SECONDS)
            return process.returncode, written, (reported or b"").decode()


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Generator[subprocess.Popen[bytes]]:
    """It does not outlive the block."""
    try:
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        process.wait()


@contextmanager
def rig_in(directory: Path) -> Generator[Rig]:
    """The rig; `directory` gets the context."""
    now = datetime.now(UTC)
    authority = Authority.create("c", now)
    shown = authority.issue(CertificateSubject("m1", Role.MANAGER, "c"), now)
    manager = Manager()  # type: ignore[abstract]  # only some of its methods
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        add_ControlServicer_to_server(manager, server)
        credentials = grpc.ssl_server_credentials([(shown.key, shown.certificate)], shown.ca, require_client_auth=True)
        address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
        ContextStore(directory).create(
            "here", authority.issue(CertificateSubject("me", Role.ADMIN, "c"), now), [address]
        )
        server.start()
        hidden = ("SHOAL_CONTEXT", "NO_COLOR")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        root = str(Path(__file__).parents[4])
        try:
            made = {**environment, "SHOAL_CONFIG": str(directory), "PYTHONPATH": root}
            yield Rig(manager, server, address, made)
        finally:
            server.stop(None).wait()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it.

    Raises:
        AssertionError: it does not come in time.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def read_until(descriptor: int, expected: bytes) -> bytes:
    """What comes from there, up to what is wanted.

    Raises:
        AssertionError: it does not come in time.
    """
    seen, deadline = b"", time.monotonic() + DEADLINE_SECONDS
    while expected not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, 4096) if ready else b""
        assert piece, f"{expected!r} has not come, but {seen!r}"
        seen += piece
    return seen
