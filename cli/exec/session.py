"""One program from its start to its end."""

import sys
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import TextIO

from cli.client import Client
from cli.exec.outbox import Outbox, feed, read_piece, write_all
from cli.exec.signals import Signals, hang_up
from cli.exec.terminal import Terminal, size_of
from cli.render.failure import Failed, warn
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStart, TerminalSize
from shoal.errors import Unavailable


def local_size() -> TerminalSize:
    """Of the terminal that this process has at any end."""
    ends = map(descriptor_of, (sys.stdin, sys.stdout, sys.stderr))
    return size_of(end for end in ends if end is not None)


def descriptor_of(stream: TextIO | None) -> int | None:
    """None where the caller has closed it: the number may be another file's by now."""
    return None if stream is None else stream.fileno()


def run(client: Client, start: ExecStart) -> int:
    """Have the program run and be its other end; its exit code, or 0 as soon as it runs when it is to be left alone.

    Raises:
        Failed: it could not be run; the code says why, as shells have it.
        ShoalError: the cluster could not run it, or it is not known what became of it.
        BrokenPipeError: who reads our output has gone.
        SystemExit: a signal ended the command.
    """
    return Session(start).run(client)


class Session:
    """The ends of one program on this side."""

    def __init__(self, start: ExecStart) -> None:
        self._start = start
        self._outbox = Outbox(ExecInput(start=start))
        self._input = descriptor_of(sys.stdin) if start.stdin else None
        self._terminal = Terminal(self._input) if self._input is not None and start.HasField("terminal") else None
        self._signals = Signals(forward=self._send_signal, resized=self._send_size, leave=self._restore)

    def run(self, client: Client) -> int:
        """As the function."""
        with self._held(), closing(client.stream(client.control.Exec, self._outbox, seconds=None)) as answers:
            for answer in answers:
                if (code := self._take(answer)) is not None:
                    return code
        raise Unavailable("the manager ended the call, and did not say how the program ended; it may still run")

    @contextmanager
    def _held(self) -> Generator[None]:
        """Signals are ours, and the terminal is in the end as it was."""
        with self._signals.caught(), closing(self._outbox):
            try:
                yield
            finally:
                self._restore()

    def _take(self, answer: ExecOutput) -> int | None:
        """Act on an answer; the exit code if it was the last."""
        match answer.WhichOneof("kind"):
            case "started":
                if self._start.detach:
                    return 0
                self._begin()
            case "stdout":
                _write(sys.stdout, answer.stdout)
            case "stderr":
                _write(sys.stderr, answer.stderr)
            case "end":
                return code_of(answer.end)
        return None

    def _begin(self) -> None:
        """It runs: what is typed, and signals, are for it from now on."""
        self._signals.forwards = self._terminal is None
        if self._terminal is not None:
            self._terminal.make_raw()
        if self._start.stdin:
            threading.Thread(target=self._feed, daemon=True).start()

    def _feed(self) -> None:
        """Until standard input ends; a terminal has no other end than to be gone."""
        try:
            feed(self._outbox, lambda: b"" if self._input is None else read_piece(self._input))
        except OSError as error:
            if self._terminal is None:
                warn(f"standard input cannot be read: {error.strerror}")
        if self._terminal is None:
            self._outbox.put(ExecInput(input_end=ExecInput.InputEnd()))
        else:
            hang_up()

    def _send_signal(self, name: str) -> None:
        self._outbox.put(ExecInput(signal=name))

    def _send_size(self) -> None:
        if self._start.HasField("terminal"):
            self._outbox.put(ExecInput(resize=local_size()))

    def _restore(self) -> None:
        if self._terminal is not None:
            self._terminal.restore()


def code_of(end: ExecEnd) -> int:
    """The exit code.

    Raises:
        Failed: with that code, and why it was not run.
    """
    if end.error:
        raise Failed(end.error, end.exit_code or 1)
    return end.exit_code


def _write(stream: TextIO | None, data: bytes) -> None:
    descriptor = descriptor_of(stream)
    if descriptor is not None:
        write_all(descriptor, data)
