"""What `shoal exec` is made of: what waits to be sent, what a signal means, the size of a terminal."""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
import threading
from collections.abc import Generator

import pytest

from cli.exec.input_queue import MAX_PENDING_CHUNKS, InputQueue, read_chunk, send_all, write_all
from cli.exec.raw_terminal import size_of
from cli.exec.signal_forwarding import SignalForwarder, ends_command
from shoal.api.v1.streams_pb2 import ExecInput
from tests.unit.cli.exec.exec_rig import until


class Source:
    """Standard input that never ends; counts how far it was read ahead of what was taken."""

    def __init__(self) -> None:
        self.read_pieces = self.taken = self.ahead = 0

    def read(self) -> bytes:
        self.read_pieces += 1
        self.ahead = max(self.ahead, self.read_pieces - self.taken)
        return b"x"


def test_a_slow_program_holds_the_reading_back() -> None:
    source, outbox = Source(), InputQueue(ExecInput(signal="first"))
    threading.Thread(target=send_all, args=(outbox, source.read), daemon=True).start()
    assert next(outbox).signal == "first"
    for _ in range(100):
        until(lambda: source.read_pieces == source.taken + MAX_PENDING_CHUNKS)
        source.taken += 1
        assert next(outbox).stdin == b"x"
    assert source.ahead <= MAX_PENDING_CHUNKS + 1  # the one that `next` has let in before `taken` was counted


def test_news_need_no_room_and_keep_their_place() -> None:
    outbox, pieces = InputQueue(ExecInput()), iter([b"a", b"b", b""])
    send_all(outbox, lambda: next(pieces))
    for _ in range(100):
        outbox.put(ExecInput(signal="SIGINT"))
    outbox.close()
    sent = list(outbox)
    assert [message.stdin for message in sent[1:3]] == [b"a", b"b"]
    assert [message.signal for message in sent[3:]] == ["SIGINT"] * 100


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_pipes_that_do_not_block_are_waited_for(pipe: tuple[int, int]) -> None:
    for descriptor in pipe:
        os.set_blocking(descriptor, False)
    data, seen = os.urandom(1 << 20), bytearray()
    writing = threading.Thread(target=write_all, args=(pipe[1], data), daemon=True)
    writing.start()
    while len(seen) < len(data):
        seen += read_chunk(pipe[0])
    writing.join()
    assert seen == data


@pytest.mark.parametrize(
    ("number", "forwards", "interrupted", "expected"),
    [
        (signal.SIGINT, False, False, True),
        (signal.SIGTERM, False, False, True),
        (signal.SIGINT, True, False, False),
        (signal.SIGINT, True, True, True),
        (signal.SIGTERM, True, True, False),
        (signal.SIGQUIT, True, False, False),
    ],
)
def test_what_a_signal_means(number: int, forwards: bool, interrupted: bool, expected: bool) -> None:
    assert ends_command(number, forwarding=forwards, interrupted=interrupted) is expected


def test_the_terminal_is_restored_before_the_end() -> None:
    done: list[str] = []
    signals = SignalForwarder(
        forward=done.append, resized=lambda: done.append("size"), cleanup=lambda: done.append("left"), end=sys.exit
    )
    before = signal.getsignal(signal.SIGTERM)
    # Whoever runs the tests may have it ignored, as nohup does.
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended, signals.installed():
            signal.raise_signal(signal.SIGWINCH)
            signals.forwarding = True
            signal.raise_signal(signal.SIGTERM)
            signals.forwarding = False
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, hung_up)
    assert (done, ended.value.code) == (["size", "SIGTERM", "left"], 128 + signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_size_is_of_the_first_terminal_that_knows_it(pipe: tuple[int, int]) -> None:
    masters, slaves = zip(*(pty.openpty() for _ in range(2)), strict=True)
    try:
        fcntl.ioctl(masters[1], termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        known, unknown = size_of([pipe[0], *slaves]), size_of([pipe[0], slaves[0]])
    finally:
        for descriptor in (*masters, *slaves):
            os.close(descriptor)
    assert (known.columns, known.rows) == (120, 40)
    assert (unknown.columns, unknown.rows) == (80, 24)
