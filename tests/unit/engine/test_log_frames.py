"""Stored lines as `logs` answers them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol.frames import Output, split_frames
from engine.translate.containers.log_frames import LINE_BYTES, LogFrames
from shoal.logs.log_lines import parse_line

LINES = (
    b"2026-11-23T23:18:27.123456789+00:00 stdout F one\rtwo",
    b"2026-11-23T23:18:28.000000000+00:00 stderr P part",
    b"2026-11-23T23:18:28.000000001+00:00 stdout F between",
    b"2026-11-23T23:18:28.000000002+00:00 stderr F ial",
    b"torn",
)


def formatted(frames: LogFrames) -> bytes:
    return frames.format(b"\n".join(LINES) + b"\n") + frames.finish()


def test_a_frame_is_a_line_with_its_pieces_joined() -> None:
    frames = split_frames(formatted(LogFrames(terminal=False)))
    assert frames == [
        (Output.STDOUT, b"one\rtwo\n"),
        (Output.STDOUT, b"between\n"),
        (Output.STDERR, b"partial\n"),
    ]


def test_lines_have_timestamps_and_details_once() -> None:
    frames = LogFrames(terminal=False, outputs=[Output.STDERR], timestamps=True, details="a=b")
    text = b"".join(data for _, data in split_frames(formatted(frames)))
    assert text == b"2026-11-23T23:18:28.000000000Z a=b partial\n"


def test_times_of_another_zone_are_told_in_utc() -> None:
    frames = LogFrames(terminal=True, timestamps=True)
    line = b"2026-11-24T00:18:27.123456789+01:00 stdout F x\n"
    assert frames.format(line) == b"2026-11-23T23:18:27.123456789Z x\n"


def test_lines_of_a_terminal_are_raw() -> None:
    assert formatted(LogFrames(terminal=True)).startswith(b"one\rtwo\npart")


def test_what_has_no_end_of_line_comes_at_the_end() -> None:
    frames = LogFrames(terminal=False)
    assert frames.format(b"2026-11-23T23:18:28.000000000+00:00 stdout P prompt: \n") == b""
    assert split_frames(frames.finish()) == [(Output.STDOUT, b"prompt: ")]


def test_a_long_line_is_several_frames() -> None:
    frames = LogFrames(terminal=False)
    piece = b"2026-11-23T23:18:28.000000000+00:00 stdout P " + b"x" * 8192 + b"\n"
    sizes = [len(data) for _, data in split_frames(frames.format(piece * 5) + frames.finish())]
    assert sizes == [LINE_BYTES, LINE_BYTES, 8192]


def test_large_frames_have_many_lines() -> None:
    line = b"2026-11-23T23:18:28.000000000+00:00 stdout F 2026-11-23T23:18:28.000000000+00:00 stdout F \n"
    (frame,) = split_frames(LogFrames(terminal=False, large=True).format(line * 3))
    assert frame == (Output.STDOUT, line[45:] * 3)


_STORED = st.builds(
    lambda output, kind, text: b"2026-11-23T23:18:28.000000000+00:00 %b %b %b" % (output, kind, text),
    st.sampled_from([b"stdout", b"stderr"]),
    st.sampled_from([b"F", b"P"]),
    st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")),
)


@settings(max_examples=60, deadline=None)
@given(
    stored=st.lists(_STORED, max_size=12),
    cut=st.integers(0, 12),
    outputs=st.sets(st.sampled_from([Output.STDOUT, Output.STDERR]), min_size=1),
    large=st.booleans(),
)
def test_each_output_has_exactly_what_was_stored(
    stored: list[bytes], cut: int, outputs: set[Output], large: bool
) -> None:
    frames = LogFrames(terminal=False, outputs=outputs, large=large)
    batches = [b"".join(line + b"\n" for line in part) for part in (stored[:cut], stored[cut:])]
    found = split_frames(b"".join(map(frames.format, batches)) + frames.finish())
    for output in (Output.STDOUT, Output.STDERR):
        expected = b""
        for line in filter(None, map(parse_line, stored)):
            if output in outputs and line.is_stderr == (output is Output.STDERR):
                expected += line.data + (b"" if line.partial else b"\n")
        assert b"".join(data for of, data in found if of is output) == expected
