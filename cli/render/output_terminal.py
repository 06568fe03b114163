"""Terminal output: colors and redrawn lines."""

import os
import re
import sys
from typing import Protocol

import click

_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class OutputStream(Protocol):
    """Standard output, or standard error."""

    def isatty(self) -> bool: ...


def colored() -> bool | None:
    """For click: no colours when NO_COLOR is set (no-color.org), else only on a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def is_interactive(stream: OutputStream) -> bool:
    """Whether the stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def draw(text: str, *, err: bool = False) -> None:
    """Text with movements of the cursor, for a stream that is live; without its colours where none are wanted."""
    stream = sys.stderr if err else sys.stdout
    stream.write(_COLOR.sub("", text) if colored() is False else text)
    stream.flush()


def strip_control(text: str) -> str:
    """Without control characters but tabs and ends of lines: text from elsewhere must not move the cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c in "\t\n" else "?" for c in text)


def print_error_line(text: str) -> None:
    """A line on standard error, also where there is no command yet or any more."""
    click.echo(text, file=sys.stderr, color=colored())
