"""One run of a container with this process attached to it: attached before the start, so that no byte is lost."""

import re
import signal
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.client import Client
from cli.exec.exec_session import ExecSession, SessionOptions, local_size
from cli.render.error_lines import CommandFailed, warn
from shoal.api.v1.engine_pb2 import CreateContainerRequest, StartContainerRequest, WaitContainerRequest
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput
from shoal.errors import Refused, ShoalError, Unavailable

if TYPE_CHECKING:
    import grpc

    from shoal.api.v1.engine_pb2_grpc import ContainersStub

EXIT_NOT_RUN, EXIT_CANNOT_EXECUTE, EXIT_NOT_FOUND = 125, 126, 127
"""Docker's exit codes: the container was not started; its program is not executable; its program does not exist."""

REMOVAL_SECONDS = 10.0
"""How long the removal of what could not be started is waited for, so that its name is free again."""

_NOT_FOUND = re.compile(
    r"no such file in the image|executable file not found|no such file or directory|not found in \$PATH", re.IGNORECASE
)
_CANNOT_EXECUTE = re.compile(r"not executable|permission denied|is a directory|exec format error", re.IGNORECASE)


class Interrupted(Exception):
    """A signal came before the container was started.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class RunOptions:
    """How to attach to a run.

    Attributes:
        container: its id.
        shows: the streams of output that are written.
        forwards_stdin, forwards_signals, detach_keys, held: as of `SessionOptions`.
        has_terminal: it has a terminal, and gets the size of this one.
        is_removed: it is removed after its run, which is waited for.
    """

    container: str
    shows: Collection[str]
    forwards_stdin: bool
    forwards_signals: bool
    detach_keys: bytes
    has_terminal: bool
    is_removed: bool
    held: list[signal.Signals]


def start_error_code(text: str) -> int:
    """The exit code for a start that failed, by what was said of it, as Docker's command line has it."""
    if _NOT_FOUND.search(text):
        return EXIT_NOT_FOUND
    return EXIT_CANNOT_EXECUTE if _CANNOT_EXECUTE.search(text) else EXIT_NOT_RUN


def run_attached(client: Client, stub: "ContainersStub", options: RunOptions) -> int:
    """Attach, start the container, and wait for its end; its exit code.

    Raises:
        Interrupted: a signal came before the start, which was not made.
        CommandFailed: it could not be started; the code is Docker's.
        ShoalError: it could not be attached to, or its exit code is unknown.
        BrokenPipeError: the reader of the output has gone.
    """
    return _AttachedRun(client, stub, options).run()


class DetachedRun:
    """A container that is created and started by one call, and not attached to.

    Attributes:
        view: the container as it was created.

    Raises:
        ShoalError: it could not be created; nothing is left of it.
    """

    def __init__(self, client: Client, stub: "ContainersStub", request: CreateContainerRequest) -> None:
        self._stub = stub
        self._is_removed = request.definition.auto_remove
        self._views = client.stream(stub.RunContainer, request, seconds=None)
        self.view = next(self._views)

    def wait_until_started(self) -> None:
        """Return once it runs or has ended.

        Raises:
            CommandFailed: it could not be started; the code is Docker's.
        """
        try:
            for _ in self._views:
                pass
        except (Refused, Unavailable) as error:
            if self._is_removed and isinstance(error, Refused):
                RunEnd(self._stub, self.view.container.meta.id, is_removed=True).wait(REMOVAL_SECONDS)
            raise CommandFailed(str(error), start_error_code(str(error))) from error


class _AttachedRun:
    """Three calls at once: to attach, to wait for the end, and, once these two have answered, to start."""

    def __init__(self, client: Client, stub: "ContainersStub", options: RunOptions) -> None:
        self._client, self._stub, self._options = client, stub, options
        size = local_size() if options.has_terminal else None
        way = SessionOptions(
            stub.AttachContainer,
            ExecInput(attach=AttachStart(task=options.container, terminal=size, wait=True)),
            forwards_stdin=options.forwards_stdin,
            forwards_signals=options.forwards_signals,
            detach_keys=options.detach_keys,
            begins=self._start,
            held=options.held,
            kills=options.is_removed,
            shows=options.shows,
        )
        self._session = ExecSession(way)
        self._ending = RunEnd(stub, options.container, is_removed=options.is_removed)
        self._starting: grpc.Future[Any] | None = None

    def run(self) -> int:
        """As the function."""
        try:
            self._session.run(self._client)
        except ShoalError as error:
            if self._starting is None:
                raise
            if (failure := self._starting.exception()) is not None:
                self._raise_not_started(failure)
            warn(f"output may be missing: {error}")
        return self._ending.exit_code(self._client)

    def _start(self) -> None:
        self._ending.wait_until_waiting(self._client)
        if self._options.held:
            raise Interrupted(self._options.held[0])
        self._starting = self._stub.StartContainer.future(StartContainerRequest(container=self._options.container))
        self._starting.add_done_callback(self._on_started)

    def _on_started(self, starting: Any) -> None:
        """In a thread of gRPC's."""
        if starting.cancelled() or starting.exception() is not None:
            self._session.abort()
        else:
            self._session.begun()

    def _raise_not_started(self, failure: BaseException) -> None:
        try:
            self._client.raise_for(failure)
        except ShoalError as error:
            if self._options.is_removed and isinstance(error, Refused):
                self._ending.wait(REMOVAL_SECONDS)
            raise CommandFailed(str(error), start_error_code(str(error))) from error


class RunEnd:
    """The end of a run, waited for by a call that was made before its start.

    Args:
        is_removed: its removal is waited for too.
    """

    def __init__(self, stub: "ContainersStub", container: str, *, is_removed: bool) -> None:
        condition = WaitContainerRequest.REMOVED if is_removed else WaitContainerRequest.NEXT_EXIT
        self._responses = stub.WaitContainer(WaitContainerRequest(container=container, condition=condition))
        self._waiting, self._ended = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._code = 0
        threading.Thread(target=self._follow, daemon=True).start()

    def wait_until_waiting(self, client: Client) -> None:
        """Return when no end can be missed any more. Raises ShoalError."""
        self._waiting.wait()
        self._raise_failure(client)

    def wait(self, seconds: float) -> None:
        """Wait for the end, at most so long, whatever it is."""
        self._ended.wait(seconds)

    def exit_code(self, client: Client) -> int:
        """Wait for the end. Raises ShoalError: it is unknown."""
        self._ended.wait()
        self._raise_failure(client)
        return self._code

    def _raise_failure(self, client: Client) -> None:
        if self._failure is not None:
            client.raise_for(self._failure)

    def _follow(self) -> None:
        """In a thread of its own."""
        try:
            for response in self._responses:
                self._waiting.set()
                self._code = response.exit_code
        except Exception as error:  # of gRPC; raised again where it is waited for
            self._failure = error
        self._waiting.set()
        self._ended.set()
