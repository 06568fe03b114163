"""Acting on several names: what fails with one does not keep the others from it, and every failure is told."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import click

from cli.render.failure import explain
from shoal.errors import ShoalError, Timeout, Unauthenticated, Unavailable

A = TypeVar("A")

_OF_ALL = (Timeout, Unauthenticated, Unavailable)
"""Failures that the next name would meet as well."""


@dataclass(frozen=True)
class Outcome(Generic[A]):
    """What came of it.

    Attributes:
        answers: of the names that it was done with, in their order.
        failed: how many others there were; each has been told.
    """

    answers: tuple[A, ...]
    failed: int

    def settle(self) -> None:
        """Ends the command with 1 when any name failed; what is to be done with the answers is done before."""
        if self.failed:
            raise click.exceptions.Exit(1)


def for_each(names: Iterable[str], act: Callable[[str], A]) -> Outcome[A]:
    """Do it with each name in turn, as Docker's commands do.

    Raises:
        ShoalError: the manager cannot be asked; the names that are left are not tried.
    """
    answers, failed = [], 0
    for name in names:
        try:
            answers.append(act(name))
        except _OF_ALL:
            raise
        except ShoalError as error:
            explain(str(error))
            failed += 1
    return Outcome(tuple(answers), failed)
