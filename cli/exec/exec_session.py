"""One exec or attach session, from the first message to the exit code."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TextIO

from cli.client import Client, ResponseIterator, Streaming
from cli.exec.input_queue import InputQueue, read_chunk, send_all, write_all
from cli.exec.raw_terminal import Terminal, size_of
from cli.exec.signal_forwarding import SignalForwarder, raise_in_main_thread, raise_sighup
from cli.render.error_lines import CommandFailed, warn
from shoal.api.v1.streams_pb2 import AttachStart, ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted, TerminalSize
from shoal.detach_keys import DetachKeyScanner
from shoal.errors import Unavailable

EXEC_LOST = "the command is ended and its exit code is unknown: check what it has done before you run it again"
ATTACH_LOST = "the container is not affected: attach again, and see `shoal logs` for what was missed"
"""What it means when the connection to the manager is lost: the node ends what was run by it, and nothing else."""


def local_size() -> TerminalSize:
    """Of the terminal that this process has at any end."""
    ends = map(file_descriptor, (sys.stdin, sys.stdout, sys.stderr))
    return size_of(end for end in ends if end is not None)


def file_descriptor(stream: TextIO | None) -> int | None:
    """None where the caller has closed it: the number may be another file's by now."""
    return None if stream is None else stream.fileno()


@dataclass(frozen=True)
class SessionOptions:
    """How a session connects to a process.

    Attributes:
        call: of the control API.
        begins: begins what it is attached to already, and has `ExecSession.begun` called; None: that runs.
        held: signals that came before it began; it takes those that come until then.
        kills: a second SIGINT is sent as SIGKILL, a third one ends this process.
        shows: the streams of output that are written.
        if_lost: what it means when the connection to the manager is lost, and what to do.
        first_message: the message that begins it.
        forwards_stdin: standard input is for the program.
        waits: it is waited for; otherwise it runs by itself once it has begun.
        forwards_signals: signals are for the program, where no terminal makes keys of them.
        detach_keys: leave when they are typed at a terminal that is raw.
    """

    call: Streaming[InputQueue, ExecOutput]
    first_message: ExecInput
    forwards_stdin: bool
    waits: bool = True
    forwards_signals: bool = True
    detach_keys: bytes = b""
    begins: Callable[[], None] | None = None
    held: list[signal.Signals] | None = None
    kills: bool = False
    shows: Collection[str] = ("stdout", "stderr")
    if_lost: str = ATTACH_LOST

    def is_raw(self, started: ExecStarted) -> bool:
        """Whether keys go to a terminal of the program's, as far as the program is concerned."""
        return self.forwards_stdin and (
            self.first_message.start.HasField("terminal") or (started.has_terminal and started.reads_input)
        )


def run(client: Client, start: ExecStart) -> int:
    """Run the program, connected to this process's standard streams. Returns its exit code, or 0 as soon as it runs in
    detached mode.

    Raises:
        Failed: it could not be run; the code says why, as shells have it.
        ShoalError: the cluster could not run it, or its outcome is unknown.
        BrokenPipeError: the reader of the output has gone.
    """
    way = SessionOptions(
        client.control.Exec,
        ExecInput(start=start),
        forwards_stdin=start.stdin,
        waits=not start.detach,
        if_lost=EXEC_LOST,
    )
    return ExecSession(way).run(client)


def attach(
    client: Client, start: AttachStart, *, forwards_stdin: bool, forwards_signals: bool, detach_keys: bytes
) -> int:
    """Attach to a container's main process. Returns its exit code, or 0 when the user detached.

    Args:
        forwards_stdin, forwards_signals, detach_keys: as of `SessionOptions`.
    Raises:
        As `run`.
    """
    way = SessionOptions(
        client.control.Attach,
        ExecInput(attach=start),
        forwards_stdin=forwards_stdin,
        forwards_signals=forwards_signals,
        detach_keys=detach_keys,
    )
    return ExecSession(way).run(client)


class ExecSession:
    """The client side of one process: input, output, signals and terminal."""

    def __init__(self, way: SessionOptions) -> None:
        self._options = way
        self._outbox = InputQueue(way.first_message)
        self._input = file_descriptor(sys.stdin) if way.forwards_stdin else None
        self._terminal = Terminal(self._input) if self._input is not None and os.isatty(self._input) else None
        self._is_raw = False
        self._detach_scanner = DetachKeyScanner(way.detach_keys)
        self._signals = SignalForwarder(forward=self._send_signal, resized=self._send_size, cleanup=self._restore)
        self._signals.held, self._signals.kills = way.held, way.kills
        self._call: ResponseIterator[ExecOutput] | None = None

    def run(self, client: Client) -> int:
        """As the function."""
        if_lost = self._options.if_lost
        with (
            self._attached(),
            closing(client.stream(self._open, self._outbox, seconds=None, if_lost=if_lost)) as answers,
        ):
            for answer in answers:
                if (code := self._handle(answer)) is not None:
                    return code
        raise Unavailable(f"the manager closed the connection; {if_lost}")

    def abort(self) -> None:
        """End the call, so that `run` raises. For any thread, once it has begun."""
        if self._call is not None:
            self._call.cancel()

    def begun(self) -> None:
        """The program runs: signals are for it from now on, those that were held first. For any thread."""
        held, self._signals.held = self._signals.held, None
        self._signals.forwarding = self._options.forwards_signals and not self._is_raw
        while held:
            raise_in_main_thread(held.pop(0))

    def _open(self, request: InputQueue, /, timeout: float | None = None) -> ResponseIterator[ExecOutput]:
        self._call = self._options.call(request, timeout=timeout)
        return self._call

    @contextmanager
    def _attached(self) -> Generator[None]:
        """Handles signals inside this block, and restores the terminal at its end."""
        with self._signals.installed(), closing(self._outbox):
            try:
                yield
            finally:
                self._restore()

    def _handle(self, answer: ExecOutput) -> int | None:
        """Act on an answer; the exit code if it was the last."""
        match answer.WhichOneof("kind"):
            case "started":
                if not self._options.waits:
                    return 0
                self._on_started(answer.started)
            case "stdout" if "stdout" in self._options.shows:
                _write(sys.stdout, answer.stdout)
            case "stderr" if "stderr" in self._options.shows:
                _write(sys.stderr, answer.stderr)
            case "end":
                return exit_code_of(answer.end)
        return None

    def _on_started(self, started: ExecStarted) -> None:
        """It runs, or is going to: what is typed is for it from now on."""
        if self._terminal is not None and self._options.is_raw(started):
            self._is_raw = True
            self._terminal.make_raw()
        if self._options.begins is None:
            self.begun()
        else:
            self._options.begins()
        if self._options.forwards_stdin and (self._options.first_message.HasField("start") or started.reads_input):
            threading.Thread(target=self._send_stdin, daemon=True).start()

    def _send_stdin(self) -> None:
        """Until standard input ends; a terminal has no other end than to be gone, or to be left."""
        try:
            send_all(self._outbox, self._read)
        except OSError as error:
            if not self._is_raw:
                warn(f"cannot read standard input: {error.strerror}")
        if self._is_raw:
            raise_sighup()
        else:
            self._outbox.put(ExecInput(close_stdin=ExecInput.CloseStdin()))

    def _read(self) -> bytes:
        """The next piece for the program; empty at the end, and when the keys were typed."""
        while self._input is not None and (piece := read_chunk(self._input)):
            if not self._is_raw:
                return piece
            piece, left = self._detach_scanner.filter(piece)
            if left:
                self._signals.detached = True
                self._outbox.put(ExecInput(stdin=piece))
                return b""
            if piece:
                return piece
        return b""

    def _send_signal(self, name: str) -> None:
        self._outbox.put(ExecInput(signal=name))

    def _send_size(self) -> None:
        first = self._options.first_message
        if first.start.HasField("terminal") or first.attach.HasField("terminal"):
            self._outbox.put(ExecInput(resize=local_size()))

    def _restore(self) -> None:
        if self._terminal is not None:
            self._terminal.restore()


def exit_code_of(end: ExecEnd) -> int:
    """The exit code.

    Raises:
        Failed: with that code, and why it was not run.
    """
    if end.error:
        raise CommandFailed(end.error, end.exit_code or 1)
    return end.exit_code


def _write(stream: TextIO | None, data: bytes) -> None:
    descriptor = file_descriptor(stream)
    if descriptor is not None:
        write_all(descriptor, data)
