"""Draws the progress of a build: takes what happens, and writes what is to be seen of it."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from cli.render.build_progress import raw_json, terminal_lines
from cli.render.build_progress.plain_lines import PlainLines
from cli.render.build_progress.status_texts import failure_report, is_cancellation
from cli.render.build_progress.vertices import BuildVertices, Vertex
from cli.render.output_terminal import draw, is_interactive

REDRAW_SECONDS = 0.15


class Mode(StrEnum):
    """How progress is shown; `auto` is `tty` on a terminal, else `plain`."""

    AUTO = "auto"
    PLAIN = "plain"
    QUIET = "quiet"
    RAWJSON = "rawjson"
    TTY = "tty"


def chosen_mode(text: str) -> Mode:
    """The mode of `--progress`, with `auto` decided.

    Args:
        text: a value of `Mode`.
    """
    mode = Mode(text)
    if mode is Mode.AUTO:
        return Mode.TTY if is_interactive(sys.stderr) else Mode.PLAIN
    return mode


class BuildDisplay:
    """The progress of one build on standard error; a context manager, which ends the drawing.

    Args:
        clock: seconds, from any start.
        wall_ms: milliseconds since 1970, for JSON.
    """

    def __init__(
        self,
        mode: Mode,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._mode = mode
        self._clock = clock
        self._wall_ms = wall_ms
        self._vertices = BuildVertices()
        self._plain = PlainLines(self._vertices)
        self._begun = clock()
        self._note = ""
        self._drawn = 0
        self._mutex = threading.Lock()
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True) if mode in (Mode.TTY, Mode.PLAIN) else None

    def __enter__(self) -> "BuildDisplay":
        if self._ticker is not None:
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._ticker is not None:
            self._ticker.join()
        with self._mutex:
            self._write(finished=True)

    def announce(self, identifier: str, name: str, inputs: Sequence[str] = ()) -> None:
        """A vertex that will be executed."""
        with self._mutex:
            self._vertices.announce(identifier, name)
            self._json("vertexes", lambda: raw_json.vertex_document(identifier, name, inputs=inputs))

    def start(self, identifier: str) -> None:
        """A vertex begins."""
        with self._mutex:
            self._plain.began(self._vertices.start(identifier, self._clock()), self._clock())
            self._json("vertexes", lambda: self._state(identifier))

    def complete(self, identifier: str, seconds: float | None = None, *, cached: bool = False, error: str = "") -> None:
        """A vertex has ended; see `BuildVertices.complete`."""
        with self._mutex:
            now = self._clock()
            lines = self._vertices.end_output(identifier, now)
            vertex = self._vertices.complete(identifier, now, seconds=seconds, cached=cached, error=error)
            self._plain.output(vertex, lines, now)
            for status in vertex.statuses.values():
                self._plain.status(vertex, status, now)
            self._plain.ended(vertex, now)
            self._json("vertexes", lambda: self._state(identifier))

    def output(self, identifier: str, stream: int, data: bytes) -> None:
        """A vertex has put out something. Args: stream: 1 standard output, 2 standard error."""
        with self._mutex:
            now = self._clock()
            lines = self._vertices.add_output(identifier, data, now)
            self._plain.output(self._vertices.find(identifier), lines, now)
            self._json("logs", lambda: raw_json.log_document(identifier, stream, data, now_ms=self._wall_ms()))

    def status(self, identifier: str, name: str, current: int, total: int = 0, *, done: bool = False) -> None:
        """How far a part of a vertex's work is, in bytes."""
        with self._mutex:
            now = self._clock()
            status = self._vertices.add_status(identifier, name, current, total, now, done=done)
            self._plain.status(self._vertices.find(identifier), status, now)
            wall = self._wall_ms()
            started = wall - round(1000 * (now - status.started))
            self._json(
                "statuses",
                lambda: raw_json.status_document(
                    identifier,
                    name,
                    current,
                    total,
                    now_ms=wall,
                    started_ms=started,
                    completed_ms=wall if done else 0,
                ),
            )

    def warning(self, identifier: str, text: str, *, url: str = "", detail: Sequence[str] = ()) -> None:
        """Something that is legal and probably not meant."""
        with self._mutex:
            self._plain.warning(self._vertices.add_warning(identifier, text, self._clock()), text, self._clock())
            self._json("warnings", lambda: raw_json.warning_document(identifier, text, url=url, detail=detail))

    def note(self, text: str) -> None:
        """What the whole build waits for; nothing: for nothing any more."""
        with self._mutex:
            if text != self._note and text and self._mode is Mode.PLAIN:
                draw(f"#0 {text}\n", err=True)
            self._note = text

    def failure(self) -> list[str]:
        """The report of the vertex that has failed: its name and its last output."""
        failed = [each for each in self._vertices.begun if each.error and not is_cancellation(each.error)]
        return failure_report(failed[0]) if failed and self._mode in (Mode.PLAIN, Mode.TTY) else []

    def _state(self, identifier: str) -> dict[str, object]:
        vertex: Vertex = self._vertices.find(identifier)
        wall = self._wall_ms()
        started = wall - round(1000 * (vertex.seconds or 0.0))
        completed = wall if vertex.has_ended else 0
        return raw_json.vertex_document(
            identifier,
            vertex.name,
            started_ms=started,
            completed_ms=completed,
            cached=vertex.cached,
            error=vertex.error,
        )

    def _json(self, kind: str, document: Callable[[], dict[str, object]]) -> None:
        if self._mode is Mode.RAWJSON:
            draw(f"{raw_json.line(kind, [document()])}\n", err=True)

    def _tick(self) -> None:
        while not self._closed.wait(REDRAW_SECONDS):
            with self._mutex:
                self._write()

    def _write(self, *, finished: bool = False) -> None:
        now = self._clock()
        if self._mode is Mode.PLAIN:
            if lines := self._plain.due(now):
                draw("".join(f"{line}\n" for line in lines), err=True)
        elif self._mode is Mode.TTY and (self._vertices.total or self._note):
            self._redraw(now, finished=finished)

    def _redraw(self, now: float, *, finished: bool) -> None:
        import shutil  # here, not above: programs that call us have no terminal, and need not wait for it

        width, height = shutil.get_terminal_size()
        lines = terminal_lines.lines(
            self._vertices, now, self._begun, width=width, height=height, finished=finished, note=self._note
        )
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        draw(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J", err=True)
        self._drawn = len(lines)
