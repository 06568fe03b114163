"""Commands with several names: a failure of one name is printed and does not stop the others."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import click

from cli.render.error_lines import print_errors
from shoal.errors import ShoalError, Timeout, Unauthenticated, Unavailable

A = TypeVar("A")

_FATAL = (Timeout, Unauthenticated, Unavailable)
"""Failures that the next name would meet as well."""
AT_ONCE = 50
"""Names that a command works on at the same time, as Docker's."""


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


def for_each(names: Iterable[str], act: Callable[[str], A], *, at_once: int = 1) -> Results[A]:
    """Run the action for each name, as Docker's commands do; results and errors are in the order of the names.

    Args:
        at_once: how many names it is run for at the same time. Each then runs in a thread of its own.
    Raises:
        ShoalError: the manager cannot be reached; the remaining names are not tried.
    """
    answers, failed = [], 0
    for outcome in _outcomes([*names], act, at_once):
        try:
            answers.append(outcome())
        except _FATAL:
            raise
        except ShoalError as error:
            print_errors(str(error))
            failed += 1
    return Results(tuple(answers), failed)


def _outcomes(names: Sequence[str], act: Callable[[str], A], at_once: int) -> Iterator[Callable[[], A]]:
    """What became of each name: gives the answer, or raises the error."""
    if at_once == 1 or len(names) == 1:
        yield from (partial(act, name) for name in names)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(max_workers=at_once)
    try:
        yield from [pool.submit(act, name).result for name in names]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def print_each(names: Iterable[str], act: Callable[[str], object]) -> None:
    """Run the action for many names at once, and print the name of each that it was done to.

    Raises:
        Exit: with 1, when any failed. ShoalError as of `for_each`.
    """

    def act_and_print(name: str) -> None:
        act(name)
        click.echo(name)

    for_each(names, act_and_print, at_once=AT_ONCE).exit_if_failed()
