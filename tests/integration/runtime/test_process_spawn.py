"""Programs as `spawn_program` starts them: what they get, and what they are not given."""

import os
import signal

import pytest

from agent.runtime.kernel.process_spawn import spawn_program


def run(script: str, environment: dict[str, str]) -> tuple[int, bytes]:
    """The exit status of a shell's script, and what it wrote into the descriptor 7."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        pid = spawn_program(["/bin/sh", "-c", script], environment, descriptors=[(write_end, 7)])
    finally:
        os.close(write_end)
    with os.fdopen(read_end, "rb") as output:
        written = output.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written


def test_a_program_has_its_descriptors_and_its_environment_alone() -> None:
    inherited = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        code, output = run('echo "$GIVEN ${HOME-none}" >&7; ls /proc/self/fd >&7; exit 3', {"GIVEN": "ä b"})
    finally:
        os.close(inherited)
    first, *descriptors = output.decode().split("\n")
    assert (code, first) == (3, "ä b none")
    assert str(inherited) not in descriptors


def test_no_signal_is_blocked_and_sigpipe_is_not_ignored() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        _, output = run("grep -E '^Sig(Blk|Ign)' /proc/self/status >&7", {"PATH": os.defpath})
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    blocked, ignored = (int(line.split()[1], 16) for line in output.decode().splitlines())
    assert (blocked, ignored >> signal.SIGPIPE - 1 & 1) == (0, 0)


def test_a_program_that_is_not_there_is_reported_by_name() -> None:
    with pytest.raises(FileNotFoundError, match="/nowhere/at/all"):
        spawn_program(["/nowhere/at/all"], {}, descriptors=[])
