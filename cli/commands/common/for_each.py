"""Commands with several names: a failure of one name is printed and does not stop the others."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import click

from cli.interrupts import end_process
from cli.lazy_modules import load_deferred
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


def for_each(
    names: Iterable[str], act: Callable[[str], A], *, at_once: int = 1, show: Callable[[A], object] = bool
) -> Results[A]:
    """Run the action for each name, as Docker's commands do; results and errors are in the order of the names.

    Args:
        at_once: how many names it is run for at the same time. Each then runs in a thread of its own.
        show: is given each result as soon as those before it are there.
    Raises:
        ShoalError: the manager cannot be reached, and the remaining names are not tried; not with `at_once`, where all
            of them are under way and each has an error of its own.
    """
    several, answers, failed = [*names], [], 0
    fatal = _FATAL if at_once == 1 else ()
    printed: set[str] = set()  # what all have in common is said once
    with _threads(several, act, at_once) as outcomes:
        for outcome in outcomes:
            try:
                answers.append(outcome())
                show(answers[-1])
            except fatal:
                raise
            except ShoalError as error:
                if str(error) not in printed:
                    print_errors(str(error))
                printed |= {str(error)} if isinstance(error, _FATAL) else set()
                failed += 1
    return Results(tuple(answers), failed)


@contextmanager
def _threads(names: Sequence[str], act: Callable[[str], A], at_once: int) -> Generator[Iterable[Callable[[], A]]]:
    """For each name what gives the answer, or raises the error."""
    if at_once == 1 or len(names) == 1:
        yield [partial(act, name) for name in names]
        return
    from concurrent.futures import ThreadPoolExecutor

    load_deferred()
    pool = ThreadPoolExecutor(max_workers=at_once)
    try:
        yield [pool.submit(act, name).result for name in names]
    except KeyboardInterrupt:
        end_process()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def print_each(names: Iterable[str], act: Callable[[str], object]) -> None:
    """Run the action for many names at once, and print the name of each that it was done to.

    Raises:
        Exit: with 1, when any failed.
    """

    def act_on(name: str) -> str:
        act(name)
        return name

    for_each(names, act_on, at_once=AT_ONCE, show=click.echo).exit_if_failed()
