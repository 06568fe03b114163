"""One run of a container with this process attached to it: attached before the start, so that no byte is lost."""

import signal
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.client import Client
from cli.exec.exec_session import ExecSession, SessionOptions, local_size
from cli.exec.run_end import REMOVAL_SECONDS, RunEnd, start_error_code
from cli.render.error_lines import CommandFailed, warn
from shoal.api.v1.engine_pb2 import StartContainerRequest
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput
from shoal.errors import Refused, ShoalError

if TYPE_CHECKING:
    import grpc

    from shoal.api.v1.engine_pb2_grpc import ContainersStub


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


def run_attached(client: Client, stub: "ContainersStub", options: RunOptions) -> int:
    """Attach, start the container, and wait for its end; its exit code.

    Raises:
        Interrupted: a signal came before the start, which was not made.
        CommandFailed: it could not be started; the code is Docker's.
        ShoalError: it could not be attached to, or its exit code is unknown.
        BrokenPipeError: the reader of the output has gone.
    """
    return _AttachedRun(client, stub, options).run()


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
