"""`shoal exec` with pipes: the whole command, against a manager that is none."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput
from shoal.errors import Exhausted, Fault, InvalidInput, NotFound
from tests.unit.cli.exec.exec_rig import (
    DEADLINE_SECONDS,
    STARTED,
    Program,
    Rig,
    end,
    err,
    killed,
    out,
    read_until,
    rig_in,
    until,
)


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    with rig_in(tmp_path) as made:
        yield made


def saying(*answers: ExecOutput) -> Program:
    """A program that answers so, whatever it is told."""
    return lambda _: iter(answers)


def refusing(error: Exception, *before: ExecOutput) -> Program:
    def program(_: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        yield from before
        raise error

    return program


def test_output_and_exit_code_are_the_programs(rig: Rig) -> None:
    rig.manager.program = saying(STARTED, out(b"\xff\0"), err(b"wrong\n"), out(b"right"), end(7))
    assert rig.run("exec", "-e", "A=1", "web.1", "ls", "-la") == (7, b"\xff\0right", "wrong\n")
    assert [(start.task, *start.args, *start.env) for start in rig.manager.starts] == [("web.1", "ls", "-la", "A=1")]


def test_much_output_is_written_whole(rig: Rig) -> None:
    pieces = [os.urandom(60_000) for _ in range(50)]
    rig.manager.program = saying(STARTED, *map(out, pieces), end())
    assert rig.run("exec", "web.1", "cat") == (0, b"".join(pieces), "")


def test_input_and_its_end_reach_the_program(rig: Rig) -> None:
    sizes: list[int] = []

    def cat(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        yield STARTED
        for message in messages:
            sizes.append(len(message.stdin))
            yield end(3) if message.HasField("close_stdin") else out(message.stdin)

    rig.manager.program = cat
    data = os.urandom(1 << 20)
    assert rig.run("exec", "-i", "web.1", "cat", input=data) == (3, data, "")
    assert rig.manager.starts[0].stdin and max(sizes) <= 32 << 10


@pytest.mark.parametrize(
    ("words", "program", "code"),
    [
        (("exec", "web.1", "true"), saying(STARTED, out(b"x"), end()), 0),
        (("exec", "-i", "web.1", "true"), refusing(NotFound("no task web.1")), 1),
        (("exec", "-i", "web.1", "true"), saying(end(127, "not there")), 127),
        (("exec", "-di", "web.1", "true"), saying(STARTED), 0),
    ],
)
def test_input_that_nobody_reads_stays_where_it_is(
    rig: Rig, words: tuple[str, ...], program: Program, code: int
) -> None:
    rig.manager.program = program
    reader, writer = os.pipe()
    try:
        os.write(writer, b"kept")
        assert rig.run(*words, stdin=reader)[0] == code
        os.write(writer, b".")
        assert os.read(reader, 100) == b"kept."
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("program", [saying(end(127, "ls: not there")), saying(STARTED, end(127, "ls: not there"))])
@pytest.mark.parametrize("flags", [(), ("-i",)])
def test_what_cannot_be_run_is_told_in_a_line(rig: Rig, program: Program, flags: tuple[str, ...]) -> None:
    rig.manager.program = program
    assert rig.run("exec", *flags, "web.1", "ls") == (127, b"", "error: ls: not there\n")


def test_a_program_may_end_with_127_itself(rig: Rig) -> None:
    rig.manager.program = saying(STARTED, err(b"sh: x: not found\n"), end(127))
    assert rig.run("exec", "web.1", "sh", "-c", "x") == (127, b"", "sh: x: not found\n")


def test_detached_it_ends_when_the_program_runs(rig: Rig) -> None:
    def running(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        yield STARTED
        yield from (out(b"x") for _ in messages)  # until the caller has gone

    rig.manager.program = running
    assert rig.run("exec", "-d", "web.1", "reindex") == (0, b"", "")
    assert rig.manager.starts[0].detach


def test_detached_it_tells_what_cannot_be_run(rig: Rig) -> None:
    rig.manager.program = saying(end(126, "reindex: permission denied"))
    assert rig.run("exec", "-d", "web.1", "reindex") == (126, b"", "error: reindex: permission denied\n")


@pytest.mark.parametrize(
    ("error", "code", "reported"),
    [
        (NotFound("no task web.1"), 1, "error: no task web.1\n"),
        (Exhausted("too many at once"), 1, "error: too many at once\n"),
        (InvalidInput([Fault("start.working_dir", "is not absolute")]), 2, "error: --workdir: is not absolute\n"),
    ],
)
def test_the_managers_errors_are_told(rig: Rig, error: Exception, code: int, reported: str) -> None:
    rig.manager.program = refusing(error)
    assert rig.run("exec", "web.1", "ls") == (code, b"", reported)


def test_a_node_that_is_lost_is_told_after_what_was_written(rig: Rig) -> None:
    rig.manager.program = refusing(NotFound("node h1 is gone"), STARTED, out(b"half"))
    assert rig.run("exec", "web.1", "cat") == (1, b"half", "error: node h1 is gone\n")


def test_answers_that_end_too_soon_are_an_error(rig: Rig) -> None:
    rig.manager.program = saying(STARTED)
    code, _, reported = rig.run("exec", "web.1", "ls")
    assert code == 1 and reported.startswith("error: the manager closed the connection") and reported.count("\n") == 1


def test_a_manager_that_goes_is_told(rig: Rig) -> None:
    with killed(rig.start("exec", "web.1", "sleep")) as process:
        read_until(output_of(process), b"ready\n")
        rig.server.stop(None)
        _, reported = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1 and reported.startswith(b"error: ") and rig.address.encode() in reported


def test_a_terminal_is_needed_for_one(rig: Rig) -> None:
    code, _, reported = rig.run("exec", "-it", "web.1", "sh", input=b"")
    assert code == 2 and reported.startswith("error: --tty: the input device is not a terminal; ")
    assert not rig.manager.starts


def output_of(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return process.stdout.fileno()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_are_the_programs(rig: Rig, number: signal.Signals) -> None:
    got: list[str] = []

    def program(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        yield STARTED
        yield out(b"ready\n")
        got.append(next(messages).signal)
        yield end(42)

    rig.manager.program = program
    with killed(rig.start("exec", "web.1", "sleep")) as process:
        read_until(output_of(process), b"ready\n")
        process.send_signal(number)
        assert process.wait(DEADLINE_SECONDS) == 42
    assert got == [number.name]


def test_the_second_interrupt_ends_the_command(rig: Rig) -> None:
    with killed(rig.start("exec", "web.1", "sleep")) as process:
        read_until(output_of(process), b"ready\n")
        process.send_signal(signal.SIGINT)
        read_until(output_of(process), b"SIGINT\n")
        assert not rig.manager.left.is_set()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=DEADLINE_SECONDS) == (b"", b"")
    assert process.returncode == 130
    assert rig.manager.left.wait(DEADLINE_SECONDS)


def flood(_: Iterator[ExecInput]) -> Iterator[ExecOutput]:
    """Writes until the caller has gone."""
    yield STARTED
    while True:
        yield out(b"x" * 65_536)


def is_full(pipe: int) -> bool:
    waiting = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return int.from_bytes(waiting, sys.byteorder) == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


def is_writing(process: subprocess.Popen[bytes]) -> bool:
    """Its main thread waits in a system call for its standard output: proc_pid_syscall(5)."""
    return Path(f"/proc/{process.pid}/syscall").read_text().split()[1:2] == ["0x1"]


def test_the_second_interrupt_ends_a_command_whose_output_nobody_takes(rig: Rig) -> None:
    got = threading.Event()

    def consume(messages: Iterator[ExecInput]) -> None:
        assert next(messages).signal == "SIGINT"
        got.set()

    def program(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        threading.Thread(target=consume, args=(messages,), daemon=True).start()
        yield from flood(messages)

    rig.manager.program = program
    with killed(rig.start("exec", "web.1", "yes")) as process:
        until(lambda: is_full(output_of(process)) and is_writing(process))
        process.send_signal(signal.SIGINT)
        assert got.wait(DEADLINE_SECONDS)
        until(lambda: is_writing(process))
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
    assert rig.manager.left.wait(DEADLINE_SECONDS)


def test_an_interrupt_before_the_program_runs_ends_the_command(rig: Rig) -> None:
    def slow(messages: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        yield from (end(1) for _ in messages)

    rig.manager.program = slow
    with killed(rig.start("exec", "web.1", "sleep")) as process:
        assert rig.manager.asked.wait(DEADLINE_SECONDS)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=DEADLINE_SECONDS) == (b"", b"")
    assert process.returncode == 130
    assert rig.manager.left.wait(DEADLINE_SECONDS)


def bit_of(number: int) -> int:
    """In the masks of proc_pid_status(5)."""
    return 1 << (number - 1)


def test_a_signal_that_was_ignored_stays_so(rig: Rig) -> None:
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with killed(rig.start("exec", "web.1", "sleep", before=before)) as process:
        read_until(output_of(process), b"ready\n")
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        ignored, caught = (int(status[mask], 16) for mask in ("SigIgn", "SigCgt"))
    assert ignored & bit_of(signal.SIGHUP) and not ignored & bit_of(signal.SIGTERM)
    assert caught & bit_of(signal.SIGTERM)


def test_a_reader_that_has_had_enough_is_no_failure(rig: Rig) -> None:
    rig.manager.program = flood
    with killed(rig.start("exec", "web.1", "yes")) as process:
        read_until(output_of(process), b"x")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(DEADLINE_SECONDS) == 0
        assert process.stderr is not None and process.stderr.read() == b""
    assert rig.manager.left.wait(DEADLINE_SECONDS)


@pytest.mark.parametrize("shell", ["<&-", ">&-"])
def test_what_the_caller_has_closed_is_empty(rig: Rig, shell: str) -> None:
    code, written, reported = rig.run("exec", "-i", "web.1", "cat", shell=shell, input=b"")
    assert (code, reported) == (40, "")
    assert written == (b"" if ">" in shell else b"ready\n")


def test_input_that_cannot_be_read_is_told_and_ends(rig: Rig, tmp_path: Path) -> None:
    with (tmp_path / "written").open("w") as unreadable:
        code, _, reported = rig.run("exec", "-i", "web.1", "cat", stdin=unreadable)
    assert (code, reported) == (40, "warning: cannot read standard input: Bad file descriptor\n")


def test_completion_knows_running_tasks_and_services(rig: Rig) -> None:
    asked = {"_SHOAL_COMPLETE": "bash_complete", "COMP_WORDS": "shoal exec w", "COMP_CWORD": "2"}
    code, written, reported = rig.run(env=asked)
    assert (code, reported) == (0, "")
    assert written.split() == [b"plain,web", b"plain,web.1"]
