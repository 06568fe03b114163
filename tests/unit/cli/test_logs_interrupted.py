"""`shoal service logs -f`, which one leaves by Ctrl-C: at any moment, and without a word but the exit code."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.unit.cli.exec.exec_rig import DEADLINE_SECONDS, INTERRUPTED_WHILE_IT_WAITS, Rig, killed, rig_in

LINE = b"2026-11-23T23:18:27.123456789+00:00 stdout F 0123456789\n"
FOLLOW = ("service", "logs", "-f", "web")


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    with rig_in(tmp_path) as made:
        yield made


def interrupt(rig: Rig, lines: bytes, read_bytes: int) -> tuple[int, bytes]:
    """Exit code and standard error when SIGINT comes after so much output, and the rest is not read."""
    rig.manager.lines = lines
    rig.manager.asked.clear()
    with killed(rig.start(*FOLLOW)) as process:
        assert rig.manager.asked.wait(DEADLINE_SECONDS)
        assert process.stdout is not None
        left = read_bytes
        while left > 0:
            left -= len(os.read(process.stdout.fileno(), min(left, 1 << 16)))
        process.send_signal(signal.SIGINT)
        _, reported = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, reported


@pytest.mark.parametrize("read_bytes", [1, 100_000, 1_000_001, 5_000_000])
def test_in_a_flood(rig: Rig, read_bytes: int) -> None:
    code, reported = interrupt(rig, LINE * 4000, read_bytes)
    assert (code, reported.strip()) == (130, b"")


def test_in_silence(rig: Rig) -> None:
    for _ in range(3):
        code, reported = interrupt(rig, b"", 0)
        assert (code, reported.strip()) == (130, b"")


@pytest.mark.parametrize("words", [FOLLOW, ("events",), ("stats",)])
def test_at_any_place(rig: Rig, words: tuple[str, ...]) -> None:
    with killed(rig.start(*words, before=INTERRUPTED_WHILE_IT_WAITS)) as process:
        _, reported = process.communicate(timeout=DEADLINE_SECONDS)
        assert (process.returncode, reported.strip()) == (130, b"")


def test_a_reader_that_has_had_enough(rig: Rig) -> None:
    rig.manager.lines = LINE * 4000
    with killed(rig.start(*FOLLOW)) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100)
        process.stdout.close()
        assert process.wait(DEADLINE_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_every_byte_comes_out_and_is_told_apart(rig: Rig) -> None:
    odd = bytes(byte for byte in range(256) if byte != 10) * 20
    rig.manager.lines = LINE[:45] + odd + b"\n"
    with killed(rig.start(*FOLLOW, "--raw")) as process:
        assert process.stdout is not None
        assert process.stdout.read(len(odd) + 1) == odd + b"\n"
