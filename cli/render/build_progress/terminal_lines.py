"""Progress as it stands on a terminal, to be drawn over what stood there before. Pure.

    [+] Building 1.3s (5/7)
     => [internal] load build context                                0.0s
     => => transferring context: 1.05MB                              0.0s
     => CACHED [build 2/3] RUN pip install -r requirements.txt       0.0s
     => [build 3/3] RUN make                                         1.1s
     => => # cc -o main main.c

moby/buildkit, util/progress/progressui (display.go).
"""

import unicodedata
from collections.abc import Iterator, Sequence

import click

from cli.render.build_progress.status_texts import amounts, is_cancellation
from cli.render.build_progress.vertices import BuildVertices, Vertex, line_text

OUTPUT_LINES = 6
"""Last lines of output of a vertex that runs."""
MIN_WIDTH = 40
"""Of a terminal; what is narrower is drawn as if it were that wide."""


def lines(
    vertices: BuildVertices,
    now: float,
    begun: float,
    *,
    width: int,
    height: int,
    finished: bool = False,
    note: str = "",
) -> list[str]:
    """All lines, with colours.

    Args:
        begun: when the build began.
        height: of the terminal: older vertices that have ended are left out of what is longer, but at the end.
        finished: the build has ended: everything is drawn.
        note: stands after the title, such as the place in a queue.
    """
    width = max(width, MIN_WIDTH)
    ended = " FINISHED" if finished else ""
    title = (
        f"[+] Building {now - begun:.1f}s ({vertices.completed}/{vertices.total}){ended}{f'  {note}' if note else ''}"
    )
    blocks = [list(_block(each, now, width, finished=finished)) for each in vertices.begun]
    if not finished:
        blocks = _fitting(vertices.begun, blocks, max(1, height - 2))
    return [_cut(title, width - 1), *(line for block in blocks for line in block)]


def _fitting(vertices: Sequence[Vertex], blocks: list[list[str]], room: int) -> list[list[str]]:
    """The blocks that fit: those that run before those that have ended, of these the last ones; in their order."""
    chosen: set[int] = set()
    order = [place for place, each in enumerate(vertices) if each.runs]
    order += [place for place in reversed(range(len(vertices))) if not vertices[place].runs]
    for place in order:
        if (length := len(blocks[place])) <= room:
            room -= length
            chosen.add(place)
        elif vertices[place].runs and room > 0:
            blocks[place] = blocks[place][:room]
            room = 0
            chosen.add(place)
    return [block for place, block in enumerate(blocks) if place in chosen]


def _block(vertex: Vertex, now: float, width: int, *, finished: bool) -> Iterator[str]:
    """The line of a vertex, and those below it."""
    seconds = now - vertex.started if vertex.seconds is None else vertex.seconds
    word = "CACHED " if vertex.cached else ""
    color = "blue" if vertex.has_ended else None
    if vertex.error:
        word, color = ("CANCELED ", "yellow") if is_cancellation(vertex.error) else ("ERROR ", "red")
    yield click.style(_with_time(f" => {word}{vertex.name}", seconds, width), fg=color)
    for status in vertex.statuses.values():
        took = now - status.started if status.seconds is None else status.seconds
        color = "blue" if status.seconds is not None else None
        yield click.style(_with_time(f" => => {status.name}{amounts(status)}", took, width), fg=color)
    for warning in vertex.warnings:
        yield click.style(_cut(f" => => WARN: {warning}", width - 1), fg="yellow")
    if vertex.runs and not finished:
        shown = [line for _, line in vertex.output]
        shown += [line_text(vertex.partial)] if vertex.partial else []
        for line in shown[-OUTPUT_LINES:]:
            yield click.style(_cut(f" => => # {line}", width - 1), dim=True)


def _with_time(text: str, seconds: float, width: int) -> str:
    """The text, and at the right its time; a text that is too long loses its end."""
    time = f"{seconds:.1f}s"
    room = width - 2 - len(time)
    text = _cut(text, room)
    return f"{text}{' ' * (room - columns(text))} {time}"


def _cut(text: str, width: int) -> str:
    """What fits into so many columns."""
    if text.isascii():
        return text[:width]
    used = 0
    for place, character in enumerate(text):
        used += _columns_of(character)
        if used > width:
            return text[:place]
    return text


def columns(text: str) -> int:
    """How many columns of a terminal it takes."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
