"""Signal handling: a signal is forwarded to the remote process, or ends the command.

The command ends inside the handler, without an exception: one that comes up while gRPC waits for an answer leaves
locks taken, or given back twice (`threading.Condition.wait`), and what follows is a hang or an exit code of 1. That the
process is gone ends the call, as if it had been cancelled.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Never

from cli.exec.waking_signals import waking_main_thread

HANDLED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def ends_command(number: int, *, forwarding: bool, interrupted: bool) -> bool:
    """Whether the command ends of it; otherwise the program is sent it.

    Args:
        forwarding: the program runs, and signals are for it.
        interrupted: it was sent SIGINT before.
    """
    return not forwarding or (number == signal.SIGINT and interrupted)


class SignalForwarder:
    """Catches the signals that end processes, and those that tell of a terminal's new size.

    Args:
        forward: send this signal ("SIGINT") to the program.
        resized: the terminal has another size.
        cleanup: what has to be done, whatever happens, before the process ends.
        end: ends the process at once, with this exit code. Nothing that it has written may be in a buffer.

    Attributes:
        forwarding: signals are for the program. Until then, they end the process, with 128 + the signal's
            number.
        held: takes signals in place of all else, so that what was begun can be undone first, or they be forwarded
            later; a second SIGINT among them ends the process all the same. None: they are handled as they come.
        kills: the second SIGINT ends the program, by SIGKILL, and only the third one ends this process.
        detached: the user leaves a program that goes on: the end is no failure.
    """

    def __init__(
        self,
        *,
        forward: Callable[[str], None],
        resized: Callable[[], None],
        cleanup: Callable[[], None],
        end: Callable[[int], Never] = os._exit,
    ) -> None:
        self.forwarding = False
        self.held: list[signal.Signals] | None = None
        self.kills = False
        self.detached = False
        self._interrupted = False
        self._forward = forward
        self._resized = resized
        self._cleanup = cleanup
        self._exit = end

    @contextmanager
    def installed(self) -> Generator[None]:
        """Catch them inside this block. Those that are ignored stay so."""
        before = {number: signal.getsignal(number) for number in (*HANDLED_SIGNALS, signal.SIGWINCH)}
        taken = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
        try:
            for number in taken:
                signal.signal(number, self._resize if number == signal.SIGWINCH else self._handle)
            with waking_main_thread(taken):
                yield
        finally:
            for number, handler in taken.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.held is not None and not (number == signal.SIGINT and signal.SIGINT in self.held):
            self.held.append(signal.Signals(number))
        elif not ends_command(number, forwarding=self.forwarding, interrupted=self._interrupted):
            self._interrupted = self._interrupted or number == signal.SIGINT
            self._forward(signal.Signals(number).name)
        elif self.kills and self.forwarding:
            self.kills = False
            self._forward(signal.SIGKILL.name)
        else:
            self._end(number)

    def _end(self, number: int) -> Never:
        self._cleanup()
        self._exit(0 if self.detached else 128 + number)

    def _resize(self, _: int, __: FrameType | None) -> None:
        self._resized()


@contextmanager
def held_signals() -> Generator[list[signal.Signals]]:
    """Signals that come inside this block are kept in the list; a second SIGINT ends the process."""
    forwarder = SignalForwarder(forward=lambda _: None, resized=lambda: None, cleanup=lambda: None)
    forwarder.held = []
    with forwarder.installed():
        yield forwarder.held


def raise_sighup() -> None:
    """The terminal has gone. For any thread; the kernel itself tells only those whose controlling terminal it was."""
    raise_in_main_thread(signal.SIGHUP)


def raise_in_main_thread(number: signal.Signals) -> None:
    """The signal, as if it came from outside; for any thread."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, number)
