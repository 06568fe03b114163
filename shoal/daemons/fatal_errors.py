"""How a daemon ends when it fails: with one line for its user, or with the trace of a bug."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from shoal.errors import ShoalError
from shoal.telemetry.log_formatters import without_secrets

FAILURE = 1
"""Exit code."""


@contextmanager
def fatal_errors(program: str, exit_code: Callable[[ShoalError], int] = lambda _: FAILURE) -> Iterator[None]:
    """End the program after a `ShoalError`, with one line on standard error; other errors are raised: they are bugs.

    Args:
        program: the name that the line begins with.
    """
    try:
        yield
    except (ShoalError, BaseExceptionGroup) as error:
        known = single_error(error)
        if known is None:
            raise
        click.echo(f"{program}: {without_secrets(str(known))}", err=True)
        sys.exit(exit_code(known))


def single_error(error: BaseException) -> ShoalError | None:
    """The ShoalError in a tree of exception groups, if it contains no other error."""
    if isinstance(error, BaseExceptionGroup):
        return single_error(error.exceptions[0]) if len(error.exceptions) == 1 else None
    return error if isinstance(error, ShoalError) else None
