"""How a failure is told: one line for each thing wrong, on standard error."""

import re
from collections.abc import Iterable

import click

from cli.render.terminal import echo, tamed
from shoal.errors import Fault

_DIGITS = re.compile(r"(\d+)")


class Failed(Exception):
    """A command that did not do what was asked, with the exit code that says so.

    Attributes:
        code: 1 failed, 3 not converged in time; of a program that could not be run in a container, 126 or 127.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def in_order(faults: Iterable[Fault]) -> list[str]:
    """Each fault once: by file, line and column, or by flag."""
    return sorted(dict.fromkeys(map(str, faults)), key=_by_number)


def _by_number(line: str) -> list[tuple[int, str]]:
    return [(len(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(line)]


def explain(*lines: str) -> None:
    """Write lines, each after a red `error:` (red on a terminal only)."""
    for line in lines:
        echo(f"{click.style('error:', fg='red', bold=True)} {tamed(line)}")


def warn(*lines: str) -> None:
    """Write lines, each after a yellow `warning:`."""
    for line in lines:
        echo(f"{click.style('warning:', fg='yellow', bold=True)} {tamed(line)}")
