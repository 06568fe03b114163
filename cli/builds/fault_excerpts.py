"""Faults of a Dockerfile with their line and a caret below what is wrong. Pure.

Dockerfile:2: unknown flag: --platfrom; the instruction has --platform
     2 | FROM --platfrom=linux/amd64 debian AS a
       |      ^~~~~~~~~~
"""

import re
from collections.abc import Iterator

from cli.render.output_terminal import strip_control
from shoal.errors import Fault, InvalidInput

MAX_CHARACTERS = 160
"""Of a line; of a longer one the beginning is shown, if what is wrong is in it."""

_PLACE = re.compile(r"(.+):([0-9]+)")
_QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'|`([^`]+)`")
_WORD = re.compile(r"[^\s\"'`(),;]+")
_MARGIN = 6


def with_excerpts(error: InvalidInput, text: str, file_name: str) -> InvalidInput:
    """The same faults; each of a line of this file shows it.

    Args:
        text: of the file. file_name: as paths of its faults begin.
    """
    lines = text.splitlines()
    return InvalidInput([_with_excerpt(fault, lines, file_name) for fault in error.faults])


def _with_excerpt(fault: Fault, lines: list[str], file_name: str) -> Fault:
    place = _PLACE.fullmatch(fault.path)
    if place is None or place[1] != file_name or not 1 <= int(place[2]) <= len(lines):
        return fault
    line = strip_control(lines[int(place[2]) - 1].replace("\t", " ")).rstrip()
    start, end = marked(line, fault.message)
    if not line or end > MAX_CHARACTERS:
        return fault
    caret = " " * start + "^" + "~" * (end - start - 1)
    shown = line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 1]}…"
    return Fault(fault.path, f"{fault.message}\n{place[2]:>{_MARGIN}} | {shown}\n{'':{_MARGIN}} | {caret}")


def marked(line: str, message: str) -> tuple[int, int]:
    """What a message is about: the first thing of the line that it names, or else the line's first word."""
    for named in _named(message):
        found = re.search(rf"(?<![\w-]){re.escape(named)}(?![\w-])", line)
        if found is not None:
            return found.span()
    first = re.search(r"\S+", line)
    return first.span() if first is not None else (0, 0)


def _named(message: str) -> Iterator[str]:
    """What is in quotes, then words that are no plain ones: flags, variables, instructions, paths."""
    for found in _QUOTED.finditer(message):
        yield next(group for group in found.groups() if group)
    for found in _WORD.finditer(message):
        word = found[0].rstrip(":.?")
        if (word and not word.isalpha()) or word.isupper():
            yield word
