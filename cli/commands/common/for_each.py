"""Commands with several names: a failure of one name is printed and does not stop the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import click

from cli.render.error_lines import print_errors
from shoal.errors import ShoalError, Timeout, Unauthenticated, Unavailable

A = TypeVar("A")

_FATAL = (Timeout, Unauthenticated, Unavailable)
"""Failures that the next name would meet as well."""


@dataclass(frozen=True)
class Results(Generic[A]):
    """Results of an action on several names.

    Attributes:
        results: of the names that it was done with, in their order.
        failed: how many others there were; an error was printed for each.
    """

    results: tuple[A, ...]
    failed: int

    def exit_if_failed(self) -> None:
        """Ends the command with 1 when any name failed; what is to be done with the answers is done before."""
        if self.failed:
            raise click.exceptions.Exit(1)


def for_each(names: Iterable[str], act: Callable[[str], A]) -> Results[A]:
    """Run the action for each name in turn, as Docker's commands do.

    Raises:
        ShoalError: the manager cannot be reached; the remaining names are not tried.
    """
    answers, failed = [], 0
    for name in names:
        try:
            answers.append(act(name))
        except _FATAL:
            raise
        except ShoalError as error:
            print_errors(str(error))
            failed += 1
    return Results(tuple(answers), failed)
