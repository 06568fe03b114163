"""Options that many commands share, and the client that most of them need."""

import functools
from collections.abc import Callable
from typing import Any

import click

from cli.client import Client
from cli.commands.common.listing_options import make_format_option

CommandFunction = Callable[..., Any]

format_option = make_format_option()
inspect_format_option = make_format_option(short=True)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Only display IDs.")
detach_option = click.option(
    "-d", "--detach", is_flag=True, help="Exit immediately instead of waiting for convergence."
)
wait_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=600.0,
    metavar="SECONDS",
    help="Maximum time to wait for convergence (default 600).",
)
verify_option = click.option(
    "--verify",
    type=click.FloatRange(min=0, max=3600),
    default=5.0,
    envvar="SHOAL_VERIFY",
    metavar="SECONDS",
    help="Time to watch new tasks once all are running (default 5); a task that ends is a failure. 0 = off.",
)


def examples(*lines: str) -> str:
    """The end of a command's help: every command has examples, and a test runs them all through the parser."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def pass_client(command: CommandFunction) -> CommandFunction:
    """Give the command a client of the context that was chosen, and close it at the end."""

    @click.pass_context
    @functools.wraps(command)
    def connected(ctx: click.Context, *arguments: Any, **options: Any) -> Any:
        with Client.of_context(ctx.find_root().obj) as client:
            return command(client, *arguments, **options)

    return connected
