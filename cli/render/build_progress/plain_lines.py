"""Progress in lines: `#5 [2/3] RUN make`, `#5 0.214 output`, `#5 DONE 0.3s`. Pure.

One vertex is current at a time. The lines of others wait until it has ended, or for `MAX_WAIT_SECONDS`, so that output
of steps that run side by side stays together. moby/buildkit, util/progress/progressui (printer.go).
"""

from collections.abc import Iterator

from cli.render.build_progress.status_texts import end_line, status_line
from cli.render.build_progress.vertices import BuildVertices, Status, Vertex

MAX_WAIT_SECONDS = 10.0
MIN_FRACTION = 0.05
"""Of a part with a known size, between two lines on it."""
MIN_STATUS_SECONDS = 1.0
"""Between two lines on a part that goes on."""


class PlainLines:
    """Which lines are to be printed, in which order."""

    def __init__(self, vertices: BuildVertices) -> None:
        self._vertices = vertices
        self._waiting: dict[str, list[str]] = {}
        self._since: dict[str, float] = {}
        self._current = ""
        self._printed: dict[tuple[str, str], tuple[float, int]] = {}
        self._ended: set[str] = set()
        self._is_first = True

    def began(self, vertex: Vertex, now: float) -> None:
        """A vertex has begun."""
        self._add(vertex, [], now)

    def output(self, vertex: Vertex, lines: list[tuple[float, str]], now: float) -> None:
        """It has put out lines."""
        self._add(vertex, [f"{at:.3f} {line}".rstrip() for at, line in lines], now)

    def status(self, vertex: Vertex, status: Status, now: float) -> None:
        """A part of its work goes on, or has ended."""
        if self._is_due(vertex, status, now):
            self._add(vertex, [status_line(status, now)], now)

    def warning(self, vertex: Vertex, text: str, now: float) -> None:
        """There is a warning about it."""
        self._add(vertex, [f"WARN: {text}"], now)

    def ended(self, vertex: Vertex, now: float) -> None:
        """It has ended; nothing more comes of it."""
        if vertex.identifier not in self._ended:
            self._ended.add(vertex.identifier)
            self._add(vertex, [end_line(vertex)], now)

    def due(self, now: float) -> list[str]:
        """The lines to print now."""
        return list(self._due(now))

    def _add(self, vertex: Vertex, lines: list[str], now: float) -> None:
        self._waiting.setdefault(vertex.identifier, []).extend(lines)
        self._since.setdefault(vertex.identifier, now)

    def _is_due(self, vertex: Vertex, status: Status, now: float) -> bool:
        key = vertex.identifier, status.name
        at, current = self._printed.get(key, (float("-inf"), -1))
        if current == -2:  # its end was printed
            return False
        if status.seconds is None:
            enough = not status.total or status.current - current >= MIN_FRACTION * status.total
            if current >= 0 and (now - at < MIN_STATUS_SECONDS or not enough):
                return False
        self._printed[key] = now, -2 if status.seconds is not None else status.current
        return True

    def _due(self, now: float) -> Iterator[str]:
        if self._current in self._waiting:
            yield from self._print(self._current, now)
        for identifier in [each for each in self._waiting if each in self._ended]:
            yield from self._print(identifier, now)
        while self._waiting and (identifier := self._next(now)):
            yield from self._print(identifier, now)

    def _next(self, now: float) -> str:
        """The vertex that has waited longest, when it is its turn."""
        oldest = min(self._waiting, key=lambda each: self._since[each])
        return oldest if not self._current or now - self._since[oldest] >= MAX_WAIT_SECONDS else ""

    def _print(self, identifier: str, now: float) -> Iterator[str]:
        vertex = self._vertices.find(identifier)
        if identifier != self._current:
            if self._current:
                yield f"#{self._vertices.find(self._current).index} ..."
            if not self._is_first:
                yield ""
            self._is_first = False
            yield f"#{vertex.index} {vertex.name}"
        for line in self._waiting.pop(identifier):
            yield f"#{vertex.index} {line}"
        self._since.pop(identifier, None)
        self._current = "" if identifier in self._ended else identifier
