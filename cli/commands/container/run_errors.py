"""Docker's exit codes of `run`: 125 for whatever fails before the container's program."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click

from cli.exec.run_end import EXIT_NOT_RUN
from cli.render.error_lines import print_errors, sort_faults
from shoal.errors import InvalidInput, ShoalError


class UsageOfRun(click.UsageError):
    """A usage error of `run`."""

    exit_code = EXIT_NOT_RUN


class RunCommand(click.Command):
    """A command whose usage errors have Docker's exit code."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **options)
        except click.UsageError as error:
            raise UsageOfRun(error.format_message(), error.ctx) from error


@contextmanager
def exit_as_docker() -> Generator[None]:
    """Print the errors of the block, and exit with the code for a container that was not run."""
    try:
        yield
    except click.UsageError as error:
        raise UsageOfRun(error.format_message(), error.ctx) from error
    except ShoalError as error:
        print_errors(*sort_faults(error.faults) if isinstance(error, InvalidInput) else [str(error)])
        raise click.exceptions.Exit(EXIT_NOT_RUN) from error
