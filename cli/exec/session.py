"""One program from its start to its end."""

import os
import sys
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TextIO

from cli.client import Client, Streaming
from cli.exec.keys import Leaving
from cli.exec.outbox import Outbox, feed, read_piece, write_all
from cli.exec.signals import Signals, hang_up
from cli.exec.terminal import Terminal, size_of
from cli.render.failure import Failed, warn
from shoal.api.v1.streams_pb2 import AttachStart, ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted, TerminalSize
from shoal.errors import Unavailable


def local_size() -> TerminalSize:
    """Of the terminal that this process has at any end."""
    ends = map(descriptor_of, (sys.stdin, sys.stdout, sys.stderr))
    return size_of(end for end in ends if end is not None)


def descriptor_of(stream: TextIO | None) -> int | None:
    """None where the caller has closed it: the number may be another file's by now."""
    return None if stream is None else stream.fileno()


@dataclass(frozen=True)
class Way:
    """How a command is the other end of a program.

    Attributes:
        call: of the control API.
        first: the message that begins it.
        reads: standard input is for the program.
        stays: it is waited for; otherwise it runs by itself once it has begun.
        forwards: signals are for the program, where no terminal makes keys of them.
        keys: leave when they are typed at a terminal that is raw.
    """

    call: Streaming[Outbox, ExecOutput]
    first: ExecInput
    reads: bool
    stays: bool = True
    forwards: bool = True
    keys: bytes = b""

    def is_raw(self, started: ExecStarted) -> bool:
        """Whether keys go to a terminal of the program's, as far as the program is concerned."""
        return self.reads and (self.first.start.HasField("terminal") or (started.has_terminal and started.reads_input))


def run(client: Client, start: ExecStart) -> int:
    """Have the program run and be its other end; its exit code, or 0 as soon as it runs when it is to be left alone.

    Raises:
        Failed: it could not be run; the code says why, as shells have it.
        ShoalError: the cluster could not run it, or it is not known what became of it.
        BrokenPipeError: who reads our output has gone.
    """
    way = Way(client.control.Exec, ExecInput(start=start), reads=start.stdin, stays=not start.detach)
    return Session(way).run(client)


def attach(client: Client, start: AttachStart, *, reads: bool, forwards: bool, keys: bytes) -> int:
    """Be the other end of a container's own program; its exit code, or 0 when it was left by the keys.

    Args:
        reads, forwards, keys: as of `Way`.
    Raises:
        As `run`.
    """
    way = Way(client.control.Attach, ExecInput(attach=start), reads=reads, forwards=forwards, keys=keys)
    return Session(way).run(client)


class Session:
    """The ends of one program on this side."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._outbox = Outbox(way.first)
        self._input = descriptor_of(sys.stdin) if way.reads else None
        self._terminal = Terminal(self._input) if self._input is not None and os.isatty(self._input) else None
        self._is_raw = False
        self._leaving = Leaving(way.keys)
        self._signals = Signals(forward=self._send_signal, resized=self._send_size, leave=self._restore)

    def run(self, client: Client) -> int:
        """As the function."""
        with self._held(), closing(client.stream(self._way.call, self._outbox, seconds=None)) as answers:
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
                if not self._way.stays:
                    return 0
                self._begin(answer.started)
            case "stdout":
                _write(sys.stdout, answer.stdout)
            case "stderr":
                _write(sys.stderr, answer.stderr)
            case "end":
                return code_of(answer.end)
        return None

    def _begin(self, started: ExecStarted) -> None:
        """It runs: what is typed, and signals, are for it from now on."""
        if self._terminal is not None and self._way.is_raw(started):
            self._is_raw = True
            self._terminal.make_raw()
        self._signals.forwards = self._way.forwards and not self._is_raw
        if self._way.reads and (self._way.first.HasField("start") or started.reads_input):
            threading.Thread(target=self._feed, daemon=True).start()

    def _feed(self) -> None:
        """Until standard input ends; a terminal has no other end than to be gone, or to be left."""
        try:
            feed(self._outbox, self._read)
        except OSError as error:
            if not self._is_raw:
                warn(f"standard input cannot be read: {error.strerror}")
        if self._is_raw:
            hang_up()
        else:
            self._outbox.put(ExecInput(input_end=ExecInput.InputEnd()))

    def _read(self) -> bytes:
        """The next piece for the program; empty at the end, and when the keys were typed."""
        while self._input is not None and (piece := read_piece(self._input)):
            if not self._is_raw:
                return piece
            piece, left = self._leaving.pass_on(piece)
            if left:
                self._signals.is_left = True
                self._outbox.put(ExecInput(input=piece))
                return b""
            if piece:
                return piece
        return b""

    def _send_signal(self, name: str) -> None:
        self._outbox.put(ExecInput(signal=name))

    def _send_size(self) -> None:
        first = self._way.first
        if first.start.HasField("terminal") or first.attach.HasField("terminal"):
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
