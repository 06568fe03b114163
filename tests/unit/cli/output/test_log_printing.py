"""Logs on the user's terminal: the same bytes, by the quick way and by the long one."""

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.render.log_printer import LogPrefixes, LogPrinter
from shoal.api.v1.control_pb2 import LogSource
from shoal.api.v1.streams_pb2 import LogChunk

STAMP = "2026-11-23T23:18:27.123456789+00:00"

Printed = Callable[[LogPrinter, list[LogChunk]], tuple[bytes, bytes]]


@pytest.fixture(name="printed")
def _printed(capfdbinary: pytest.CaptureFixture[bytes]) -> Printed:
    """What comes out of the two descriptors, as in a pipe."""

    def reported(printer: LogPrinter, runs: list[LogChunk]) -> tuple[bytes, bytes]:
        for number, task_id in enumerate(dict.fromkeys(run.task_id for run in runs), 1):
            printer.source(LogSource(task_id=task_id, task_name=f"web.{number}.{task_id}", node_hostname="h1"))
        printer.runs(runs)
        printer.end()
        found = capfdbinary.readouterr()
        return found.out, found.err

    return reported


def run(task_id: str, *lines: tuple[str, str, bytes]) -> LogChunk:
    made = [f"{STAMP} {stream} {flag} ".encode() + data + b"\n" for stream, flag, data in lines]
    return LogChunk(task_id=task_id, lines=b"".join(made))


def printer(*, raw: bool = False, timestamps: bool = False) -> LogPrinter:
    return LogPrinter(timestamps=timestamps, raw=raw)


def test_raw_output_has_every_byte(printed: Printed) -> None:
    odd = bytes(byte for byte in range(256) if byte != 10)
    lines = (("stdout", "F", odd), ("stdout", "P", b"a\r"), ("stdout", "F", b"b"), ("stdout", "F", b""))
    assert printed(printer(raw=True), [run("t", *lines[:1])]) == (odd + b"\n", b"")
    assert printed(printer(raw=True), [run("t", *lines)]) == (odd + b"\na\rb\n\n", b"")
    # A program that ends without an end of its line has none in the output either.
    assert printed(printer(raw=True), [run("t", ("stdout", "P", b"no end"))]) == (b"no end", b"")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_pieces_of_one_stream_come_out_as_they_were_written(printed: Printed, stream: str) -> None:
    pieces = run("t", (stream, "F", b"one"), (stream, "P", b"tw"), (stream, "F", b"o"), (stream, "P", b"three"))
    assert b"".join(printed(printer(raw=True), [pieces])) == b"one\ntwo\nthree"
    torn = run("t", (stream, "F", b"one"))
    torn.lines += b"no line\n" + run("t", (stream, "P", b"tw"), (stream, "F", b"o")).lines
    assert b"".join(printed(printer(raw=True), [torn])) == b"one\ntwo\n"


LINES = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stdout", "stdout", "stderr"]),
        st.sampled_from(["F", "F", "F", "P"]),
        st.sampled_from([b"", b"x", b"x" * 45, f"{STAMP} stdout F ".encode(), b" stdout P ", b"\r\x1b[1m"]),
    ),
    max_size=40,
)


@given(LINES, st.booleans())
def test_the_quick_way_prints_what_the_long_one_does(lines: list[tuple[str, str, bytes]], one_stream: bool) -> None:
    if one_stream:
        lines = [("stderr", flag, data) for _, flag, data in lines]
    expected = {
        stream: b"".join(data + (b"\n" if flag == "F" else b"") for of, flag, data in lines if of == stream)
        for stream in ("stdout", "stderr")
    }
    assert _shown(raw=True, runs=[run("t", *lines)]) == (expected["stdout"], expected["stderr"])


@given(st.lists(LINES, max_size=4), st.booleans(), st.booleans())
def test_lines_are_put_together_from_pieces(
    chunks: list[list[tuple[str, str, bytes]]], one_stream: bool, timestamps: bool
) -> None:
    before = b"t    | " + (b"2026-11-23T23:18:27.123456789Z " if timestamps else b"")
    if one_stream:
        chunks = [[("stdout", flag, data) for _, flag, data in lines] for lines in chunks]
    expected = {"stdout": b"", "stderr": b""}
    pending = dict.fromkeys(expected, b"")
    for stream, flag, data in (line for lines in chunks for line in lines):
        pending[stream] += data
        if flag == "F":
            expected[stream] += before + pending[stream] + b"\n"
            pending[stream] = b""
    for stream in expected:
        if [flag for lines in chunks for of, flag, _ in lines if of == stream][-1:] == ["P"]:
            expected[stream] += b"t    | " + pending[stream] + b"\n"
    assert _shown(timestamps=timestamps, runs=[run("t", *lines) for lines in chunks]) == (
        expected["stdout"],
        expected["stderr"],
    )


def test_a_line_that_is_too_long_is_printed_in_parts() -> None:
    piece = ("stdout", "P", b"x" * 8192)
    chunks = [run("t", *[piece] * 32) for _ in range(9)]
    out, _ = _shown(runs=[*chunks, run("t", ("stdout", "F", b"end"))])
    parts = out.splitlines()
    assert max(map(len, parts)) <= (1 << 20) + len(b"t    | ")
    assert b"".join(part.removeprefix(b"t    | ") for part in parts) == b"x" * 8192 * 32 * 9 + b"end"


def _shown(*, raw: bool = False, timestamps: bool = False, runs: list[LogChunk]) -> tuple[bytes, bytes]:
    """What is written to the two streams; tasks have their ids for names."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    with redirect_stdout(out), redirect_stderr(err):
        shown = printer(raw=raw, timestamps=timestamps)
        shown.runs(runs)
        shown.end()
    return out.buffer.getvalue(), err.buffer.getvalue()


@pytest.mark.parametrize("bad", [b"no line\n", b"\n", b"x" * 45 + b"\n", f"{STAMP} stdout X x\n".encode()])
def test_torn_lines_among_many_are_passed_over(bad: bytes) -> None:
    many = run("t", *[("stdout", "F", b"text")] * 100)
    many.lines = bad + many.lines + bad + run("t", ("stdout", "P", b"pie"), ("stdout", "F", b"ce")).lines + bad
    assert _shown(raw=True, runs=[many]) == (b"text\n" * 100 + b"piece\n", b"")


def test_pieces_are_joined_where_something_stands_before_lines(printed: Printed) -> None:
    pieces = run("t", ("stdout", "F", b"one"), ("stdout", "P", b"tw"), ("stdout", "F", b"o"))
    details = LogPrinter(timestamps=False, raw=True, prefixes=LogPrefixes(details=True))
    before = b"node.hostname=h1,task.id=t,task.name=web.1.t "
    assert printed(details, [pieces])[0] == before + b"one\n" + before + b"two\n"


def test_each_stream_has_its_own(printed: Printed) -> None:
    mixed = run("t", ("stdout", "F", b"out"), ("stderr", "F", b"err"), ("stdout", "F", b"again"))
    assert printed(printer(raw=True), [mixed]) == (b"out\nagain\n", b"err\n")
    assert printed(printer(), [run("t", ("stderr", "F", b"err"))]) == (b"", b"web.1@h1    | err\n")


@pytest.mark.parametrize("second", ["F", "P"])
def test_lines_have_the_task_and_the_time(printed: Printed, second: str) -> None:
    lines = run("t", ("stdout", "F", b"one"), ("stdout", second, b"two"))
    time = b"2026-11-23T23:18:27.123456789Z "
    expected = b"web.1@h1    | " + time + b"one\nweb.1@h1    | "
    out, _ = printed(printer(timestamps=True), [lines])
    assert out.startswith(expected)
    assert out.endswith(b"two\n")


def test_pieces_of_two_tasks_do_not_mix(printed: Printed) -> None:
    runs = [run("t", ("stdout", "P", b"aa")), run("u", ("stdout", "F", b"bb")), run("t", ("stdout", "F", b"aa"))]
    assert printed(printer(raw=True), runs)[0] == b"bb\naaaa\n"


def test_what_is_no_line_is_passed_over(printed: Printed) -> None:
    torn = LogChunk(task_id="t", lines=b"\0\0\n\n" + run("t", ("stdout", "F", b"x")).lines)
    assert printed(printer(), [torn])[0] == b"web.1@h1    | x\n"


def test_lost_lines_are_told(printed: Printed) -> None:
    missing = run("t", ("stdout", "F", b"x"))
    missing.lines_lost = True
    out, err = printed(printer(), [missing])
    assert out == b"web.1@h1    | x\n"
    assert b"web.1@h1: lines are missing here" in err


def test_raw_output_has_details_where_they_are_asked_for(printed: Printed) -> None:
    details = LogPrinter(timestamps=False, raw=True, prefixes=LogPrefixes(details=True))
    lines = run("t", ("stdout", "F", b"one"), ("stdout", "P", b"tw"), ("stdout", "F", b"o"))
    about = b"node.hostname=h1,task.id=t,task.name=web.1.t "
    assert printed(details, [lines]) == (about + b"one\n" + about + b"two\n", b"")
