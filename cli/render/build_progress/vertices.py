"""What is known of a build while it runs: its vertices, in the order in which they begin. Pure.

Times are seconds of this machine's clock, from any start, since that of the node may be another one; durations of what
has ended are the node's.
"""

from collections import deque
from dataclasses import dataclass, field

from cli.render.output_terminal import strip_control

KEPT_LINES = 100
"""Of the output of a vertex, for the report of its failure."""
MAX_LINE = 4_096
"""Characters of a line of output that are kept."""


@dataclass
class Status:
    """A part of a vertex's work: "transferring context", "extracting sha256:…".

    Attributes:
        total: 0 where it is not known.
        seconds: how long it took; None while it goes on.
    """

    name: str
    started: float
    current: int = 0
    total: int = 0
    seconds: float | None = None


@dataclass
class Vertex:
    """One node of the graph.

    Attributes:
        index: from 1, in the order in which they began; 0: it has not begun.
        seconds: how long it took; None while it goes on.
        output: its last lines, each with the seconds since it began.
        partial: output after the last end of a line.
    """

    identifier: str
    name: str
    index: int = 0
    started: float = 0.0
    seconds: float | None = None
    cached: bool = False
    error: str = ""
    statuses: dict[str, Status] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    output: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    partial: bytes = b""

    @property
    def runs(self) -> bool:
        return self.index > 0 and self.seconds is None

    @property
    def has_ended(self) -> bool:
        return self.seconds is not None


class BuildVertices:
    """All vertices of one build."""

    def __init__(self) -> None:
        self._known: dict[str, Vertex] = {}
        self._begun: list[Vertex] = []

    @property
    def total(self) -> int:
        return len(self._known)

    @property
    def completed(self) -> int:
        return sum(each.has_ended and not each.error for each in self._known.values())

    @property
    def begun(self) -> list[Vertex]:
        """In the order in which they began."""
        return self._begun

    def find(self, identifier: str) -> Vertex:
        """The vertex, which is made where it was not announced."""
        return self.announce(identifier, identifier)

    def announce(self, identifier: str, name: str) -> Vertex:
        """A vertex that will be executed."""
        if identifier not in self._known:
            self._known[identifier] = Vertex(identifier, strip_control(name).replace("\n", " "))
        return self._known[identifier]

    def start(self, identifier: str, now: float) -> Vertex:
        """It begins, if it has not yet."""
        vertex = self.find(identifier)
        if not vertex.index:
            self._begun.append(vertex)
            vertex.index, vertex.started = len(self._begun), now
        return vertex

    def complete(
        self, identifier: str, now: float, *, seconds: float | None = None, cached: bool = False, error: str = ""
    ) -> Vertex:
        """It has ended.

        Args:
            seconds: how long it took; None: as it was seen here.
        """
        vertex = self.start(identifier, now)
        vertex.seconds = max(0.0, now - vertex.started if seconds is None else seconds)
        vertex.cached, vertex.error = cached, strip_control(error)
        for status in vertex.statuses.values():
            if status.seconds is None:
                status.seconds = max(0.0, now - status.started)
        return vertex

    def add_status(self, identifier: str, name: str, current: int, total: int, now: float, *, done: bool) -> Status:
        """How far a part of its work is."""
        vertex = self.start(identifier, now)
        status = vertex.statuses.setdefault(name, Status(strip_control(name), now))
        status.current, status.total = current, max(total, status.total)
        if done and status.seconds is None:
            status.seconds = max(0.0, now - status.started)
        return status

    def add_output(self, identifier: str, data: bytes, now: float) -> list[tuple[float, str]]:
        """Output of a vertex; the lines that it ends, each with the seconds since the vertex began."""
        vertex = self.start(identifier, now)
        *ended, vertex.partial = (vertex.partial + data).split(b"\n")
        if len(vertex.partial) > MAX_LINE:
            ended, vertex.partial = [*ended, vertex.partial], b""
        lines = [(now - vertex.started, line_text(each)) for each in ended]
        vertex.output.extend(lines)
        return lines

    def end_output(self, identifier: str, now: float) -> list[tuple[float, str]]:
        """The last line, where it has no end."""
        return self.add_output(identifier, b"\n", now) if self.find(identifier).partial else []

    def add_warning(self, identifier: str, text: str, now: float) -> Vertex:
        """Something about it that is legal and probably not meant."""
        vertex = self.start(identifier, now)
        vertex.warnings.append(strip_control(text).replace("\n", " "))
        return vertex


def line_text(line: bytes) -> str:
    """A line of output for people: what a carriage return has overwritten is left out, and nothing moves the cursor."""
    text = line.rstrip(b"\r").rsplit(b"\r", 1)[-1][:MAX_LINE].decode(errors="replace")
    return strip_control(text.expandtabs(8))
