"""`shoal exec -t`: with real terminals."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput
from shoal.errors import Unavailable
from tests.unit.cli.exec.exec_rig import (
    DEADLINE_SECONDS,
    INTERRUPTED_WHILE_IT_WAITS,
    STARTED,
    Rig,
    echo,
    end,
    killed,
    out,
    read_until,
    rig_in,
)

LOCAL_MODES = termios.ISIG | termios.ICANON | termios.ECHO
"""A terminal that is not raw has all of them."""


@dataclass
class Pty:
    """Both ends of a terminal."""

    user: int
    program: int

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.user, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.program)

    def type(self, keys: bytes) -> None:
        os.write(self.user, keys)

    def read_until(self, expected: bytes) -> bytes:
        return read_until(self.user, expected)


@pytest.fixture
def terminal() -> Generator[Pty]:
    made = Pty(*pty.openpty())
    made.resize(120, 40)
    yield made
    for descriptor in {made.user, made.program} - {-1}:
        os.close(descriptor)


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    with rig_in(tmp_path) as made:
        yield made


def at(rig: Rig, terminal: Pty, *words: str, **settings: Any) -> subprocess.Popen[bytes]:
    """The command at this terminal, which is not its controlling one: no signal comes from it by itself."""
    ends = {"stdin": terminal.program, "stdout": terminal.program, "start_new_session": True}
    return rig.start("exec", *words, **{**ends, **settings})


def controlled(rig: Rig, terminal: Pty, *words: str) -> subprocess.Popen[bytes]:
    """The command at this terminal as its controlling one: who opens it first in a new session gets it."""
    opened = f"tty = os.open({os.ttyname(terminal.program)!r}, os.O_RDWR)"
    return at(rig, terminal, *words, before=f"{opened}; os.dup2(tty, 0); os.dup2(tty, 1)")


def is_raw(modes: list[Any]) -> bool:
    return not modes[3] & LOCAL_MODES


def test_keys_are_the_programs_as_soon_as_it_runs(rig: Rig, terminal: Pty) -> None:
    may_start = threading.Event()

    def program(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        assert may_start.wait(DEADLINE_SECONDS)
        yield from echo(messages)

    rig.manager.program = program
    before = terminal.modes()
    with killed(at(rig, terminal, "-it", "web.1", "sh", env={"TERM": "vt100"})) as process:
        assert rig.manager.asked.wait(DEADLINE_SECONDS)
        assert terminal.modes() == before
        may_start.set()
        terminal.read_until(b"ready\n")
        assert is_raw(terminal.modes())
        for key in (b"\x03", b"\x1c", b"\x1a", b"\x04", b"\r", "ü".encode()):
            terminal.type(key)
            assert terminal.read_until(b">\n") == b"<" + key + b">\n"
        terminal.type(b"q")
        assert process.wait(DEADLINE_SECONDS) == 41
    assert terminal.modes() == before
    start = rig.manager.starts[0]
    assert (start.stdin, start.terminal.columns, start.terminal.rows) == (True, 120, 40)
    assert list(start.env) == ["TERM=vt100"]


def test_what_was_typed_before_is_not_lost(rig: Rig, terminal: Pty) -> None:
    terminal.type(b"early\r")
    with killed(at(rig, terminal, "-it", "web.1", "sh")):
        terminal.read_until(b"<early\n>\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_the_command_and_leaves_the_terminal_as_it_was(
    rig: Rig, terminal: Pty, number: signal.Signals
) -> None:
    before = terminal.modes()
    with killed(at(rig, terminal, "-it", "web.1", "sh")) as process:
        terminal.read_until(b"ready\n")
        assert is_raw(terminal.modes())
        process.send_signal(number)
        assert process.wait(DEADLINE_SECONDS) == 128 + number
    assert terminal.modes() == before
    assert rig.manager.left.wait(DEADLINE_SECONDS)


def test_an_error_leaves_the_terminal_as_it_was(rig: Rig, terminal: Pty) -> None:
    def lost(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        yield STARTED
        yield out(b"ready\n")
        next(messages)
        raise Unavailable("node h1 is gone")

    rig.manager.program = lost
    before = terminal.modes()
    with killed(at(rig, terminal, "-it", "web.1", "sh")) as process:
        terminal.read_until(b"ready\n")
        assert is_raw(terminal.modes())
        terminal.type(b"x")
        assert process.wait(DEADLINE_SECONDS) == 1
        assert process.stderr is not None and process.stderr.read() == b"error: node h1 is gone\n"
    assert terminal.modes() == before


def test_a_reader_that_has_gone_leaves_the_terminal_as_it_was(rig: Rig, terminal: Pty) -> None:
    before = terminal.modes()
    with killed(at(rig, terminal, "-it", "web.1", "sh", stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        assert is_raw(terminal.modes())
        process.stdout.close()
        terminal.type(b"x")
        assert process.wait(DEADLINE_SECONDS) == 0
    assert terminal.modes() == before


def test_what_cannot_be_run_never_has_the_terminal(rig: Rig, terminal: Pty) -> None:
    rig.manager.program = lambda _: iter([end(127, "zsh: not there")])
    before = terminal.modes()
    with killed(at(rig, terminal, "-it", "web.1", "zsh")) as process:
        assert process.wait(DEADLINE_SECONDS) == 127
        assert process.stderr is not None and process.stderr.read() == b"error: zsh: not there\n"
    assert terminal.modes() == before


def test_a_terminal_that_goes_ends_the_command(rig: Rig, terminal: Pty) -> None:
    with killed(at(rig, terminal, "-it", "web.1", "sh")) as process:
        terminal.read_until(b"ready\n")
        os.close(terminal.user)
        terminal.user = -1
        assert process.wait(DEADLINE_SECONDS) == 128 + signal.SIGHUP
    assert rig.manager.left.wait(DEADLINE_SECONDS)


def test_the_size_follows_the_terminal(rig: Rig, terminal: Pty) -> None:
    with killed(controlled(rig, terminal, "-it", "web.1", "sh")) as process:
        terminal.read_until(b"ready\n")
        terminal.resize(100, 30)
        terminal.read_until(b"100x30\n")
        terminal.type(b"q")
        assert process.wait(DEADLINE_SECONDS) == 41


def test_without_input_the_terminal_stays_and_an_interrupt_is_the_programs(rig: Rig, terminal: Pty) -> None:
    before = terminal.modes()
    with killed(controlled(rig, terminal, "-t", "web.1", "top")) as process:
        terminal.read_until(b"ready\r\n")
        assert terminal.modes() == before
        terminal.type(b"\x03")
        assert b"<" not in terminal.read_until(b"SIGINT\r\n")
        terminal.resize(100, 30)
        terminal.read_until(b"100x30\r\n")
        terminal.type(b"\x03")
        assert process.wait(DEADLINE_SECONDS) == 130


def test_an_interrupt_that_comes_at_any_place_ends_the_command(rig: Rig) -> None:
    with killed(rig.start("exec", "web.1", "top", before=INTERRUPTED_WHILE_IT_WAITS)) as process:
        _, reported = process.communicate(timeout=DEADLINE_SECONDS)
        assert (process.returncode, reported) == (130, b"")


def test_input_without_a_terminal_of_its_own_is_by_lines(rig: Rig, terminal: Pty) -> None:
    before = terminal.modes()
    with killed(at(rig, terminal, "-i", "web.1", "cat")) as process:
        terminal.read_until(b"ready\r\n")
        assert terminal.modes() == before
        terminal.type(b"line\r")
        terminal.read_until(b"<line\r\n>\r\n")
        terminal.type(b"\x04")
        assert process.wait(DEADLINE_SECONDS) == 40
    assert not rig.manager.starts[0].HasField("terminal")
