"""Progress of builds, on recorded courses of events."""

import base64
import json

import pytest

from cli.render.build_progress import terminal_lines
from cli.render.build_progress.display import BuildDisplay, Mode, chosen_mode
from cli.render.build_progress.status_texts import size
from cli.render.build_progress.vertices import BuildVertices, line_text


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def display(mode: Mode, clock: Clock) -> BuildDisplay:
    return BuildDisplay(mode, clock=clock, wall_ms=lambda: 1_795_471_904_000 + round(1000 * clock.now))


def run_build(shown: BuildDisplay, clock: Clock) -> None:
    """Two steps one after the other, the first with output, the second from the cache; a context before."""
    for identifier, name in (("c", "[internal] load build context"), ("a", "[1/2] RUN make"), ("b", "[2/2] COPY . /")):
        shown.announce(identifier, name)
    shown.start("c")
    clock.now += 0.5
    shown.status("c", "transferring context:", 1_050_000, done=True)
    shown.complete("c")
    shown.start("a")
    clock.now += 0.25
    shown.output("a", 1, b"cc -o ma")
    shown.output("a", 2, b"in main.c\nlinked")
    clock.now += 0.25
    shown.complete("a", 0.48)
    shown.complete("b", 0.0, cached=True)


def test_plain_lines_are_those_of_buildkit(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with display(Mode.PLAIN, clock) as shown:
        run_build(shown, clock)
    assert capsys.readouterr().err.splitlines() == [
        "#1 [internal] load build context",
        "#1 transferring context: 1.05MB done",
        "#1 DONE 0.5s",
        "",
        "#2 [1/2] RUN make",
        "#2 0.250 cc -o main main.c",
        "#2 0.500 linked",
        "#2 DONE 0.5s",
        "",
        "#3 [2/2] COPY . /",
        "#3 CACHED",
    ]


def test_output_of_steps_side_by_side_stays_together(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    shown = display(Mode.PLAIN, clock)
    shown.announce("a", "[x 1/1] RUN a")
    shown.announce("b", "[y 1/1] RUN b")
    shown.start("a")
    shown.start("b")
    shown._write()
    for number in range(3):
        clock.now += 1
        shown.output("a", 1, b"a%d\n" % number)
        shown.output("b", 1, b"b%d\n" % number)
        shown._write()
    clock.now += 8
    shown._write()
    shown.complete("b", 11.0)
    shown.complete("a", 11.1)
    shown._write()
    assert capsys.readouterr().err.splitlines() == [
        "#1 [x 1/1] RUN a",
        "#1 1.000 a0",
        "#1 2.000 a1",
        "#1 3.000 a2",
        "#1 ...",
        "",
        "#2 [y 1/1] RUN b",
        "#2 1.000 b0",
        "#2 2.000 b1",
        "#2 3.000 b2",
        "#2 DONE 11.0s",
        "",
        "#1 [x 1/1] RUN a",
        "#1 DONE 11.1s",
    ]


def test_a_terminal_shows_each_vertex_with_its_time_at_the_right() -> None:
    clock = Clock()
    vertices = BuildVertices()
    vertices.announce("a", "[1/3] FROM alpine")
    vertices.announce("b", "[2/3] RUN make " + "x" * 80)
    vertices.announce("c", "[3/3] RUN true")
    vertices.complete("a", 0.1, seconds=0.1, cached=True)
    vertices.add_output("b", b"".join(b"line %d\n" % each for each in range(20)) + b"50%\r70%", 0.2)
    drawn = terminal_lines.lines(vertices, 1.25, clock.now, width=60, height=24)
    plain = [_without_colors(each) for each in drawn]
    assert plain == [
        "[+] Building 1.2s (1/3)",
        " => CACHED [1/3] FROM alpine                           0.1s",
        " => [2/3] RUN make xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 1.1s"[:59],
        " => => # line 15",
        " => => # line 16",
        " => => # line 17",
        " => => # line 18",
        " => => # line 19",
        " => => # 70%",
    ]


def test_a_small_terminal_shows_what_runs() -> None:
    vertices = BuildVertices()
    for each in range(10):
        vertices.complete(f"done{each}", 0.0, seconds=0.0)
    vertices.start("last", 0.0)
    drawn = [_without_colors(each) for each in terminal_lines.lines(vertices, 1.0, 0.0, width=60, height=5)]
    assert len(drawn) == 4
    assert "done8" in drawn[1] and "done9" in drawn[2] and "last" in drawn[3]
    assert len(terminal_lines.lines(vertices, 1.0, 0.0, width=60, height=5, finished=True)) == 12


def test_wide_characters_take_two_columns() -> None:
    vertices = BuildVertices()
    vertices.complete("a", 0.0, seconds=0.0)
    vertices.find("a").name = "[1/1] RUN echo 漢字漢字"
    (_, line) = terminal_lines.lines(vertices, 1.0, 0.0, width=60, height=9, finished=True)
    assert terminal_lines.columns(_without_colors(line)) == 59


def test_failures_are_reported_with_their_last_output(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with display(Mode.PLAIN, clock) as shown:
        shown.announce("a", "[1/1] RUN false")
        shown.announce("b", "[y 1/1] RUN sleep 9")
        shown.start("a")
        shown.start("b")
        shown.output("a", 2, b"it fails\n")
        shown.complete("b", 0.1, error="context canceled")
        shown.complete("a", 0.1, error="process did not complete: exit code: 1")
    err = capsys.readouterr().err
    assert "#1 ERROR: process did not complete: exit code: 1" in err and "#2 CANCELED" in err
    assert shown.failure() == ["------", " > [1/1] RUN false:", "0.000 it fails", "------"]


def test_raw_json_is_a_status_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with display(Mode.RAWJSON, clock) as shown:
        run_build(shown, clock)
        shown.warning("a", "JSONArgsRecommended: …", url="https://example.org")
    documents = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    assert documents[0] == {"vertexes": [{"digest": "c", "name": "[internal] load build context"}]}
    logs = [each["logs"][0] for each in documents if "logs" in each]
    assert b"".join(base64.b64decode(each["data"]) for each in logs) == b"cc -o main main.c\nlinked"
    assert {"vertex", "stream", "data", "timestamp"} == set(logs[0])
    ended = [each["vertexes"][0] for each in documents if "vertexes" in each][-1]
    assert ended["cached"] is True and ended["completed"] == "2026-11-23T22:11:45.000Z"


def test_quiet_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with display(Mode.QUIET, clock) as shown:
        run_build(shown, clock)
    assert capsys.readouterr() == ("", "")
    assert chosen_mode("auto") is Mode.PLAIN


def test_output_moves_no_cursor_and_no_memory() -> None:
    assert line_text(b"10%\r20%\r\n"[:-1]) == "20%"
    assert line_text(b"a\x1b[2Jb\tc") == "a?[2Jb  c"
    vertices = BuildVertices()
    vertices.add_output("a", b"x" * 1_000_000, 0.0)
    assert sum(len(line) for _, line in vertices.find("a").output) + len(vertices.find("a").partial) <= 4096


@pytest.mark.parametrize(("amount", "text"), [(0, "0B"), (999, "999B"), (1000, "1.00kB"), (3_400_000_000, "3.40GB")])
def test_sizes_are_decimal(amount: int, text: str) -> None:
    assert size(amount) == text


def _without_colors(text: str) -> str:
    import click

    return click.unstyle(text)
