"""Errors and warnings on standard error, one line each."""

import re
from collections.abc import Iterable

import click

from cli.render.output_terminal import print_error_line, strip_control
from shoal.errors import Fault

_DIGITS = re.compile(r"(\d+)")


class CommandFailed(Exception):
    """A command that failed, with its exit code.

    Attributes:
        code: 1 failed, 3 not converged in time; of a program that could not be run in a container, 126 or 127.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def sort_faults(faults: Iterable[Fault]) -> list[str]:
    """Each fault once: by file, line and column, or by flag."""
    return sorted(dict.fromkeys(map(str, faults)), key=_by_number)


def _by_number(line: str) -> list[tuple[int, str]]:
    return [(len(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(line)]


def print_errors(*lines: str) -> None:
    """Write lines, each after a red `error:` (red on a terminal only)."""
    for line in lines:
        print_error_line(f"{click.style('error:', fg='red', bold=True)} {strip_control(line)}")


def warn(*lines: str) -> None:
    """Write lines, each after a yellow `warning:`."""
    for line in lines:
        print_error_line(f"{click.style('warning:', fg='yellow', bold=True)} {strip_control(line)}")
