"""Options that many commands share, and the connection that most of them need."""

import functools
from collections.abc import Callable
from typing import Any

import click

from cli.client import Client
from cli.commands.formats import formatted

Command = Callable[..., Any]

format_option = formatted()
inspect_format_option = formatted(short=True)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
detach_option = click.option("-d", "--detach", is_flag=True, help="Do not wait until the tasks run.")
wait_option = click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=600.0, metavar="SECONDS", help="Wait at most so long (600)."
)
verify_option = click.option(
    "--verify",
    type=click.FloatRange(min=0, max=3600),
    default=5.0,
    envvar="SHOAL_VERIFY",
    metavar="SECONDS",
    help="Watch new tasks so long once all run (5): one that ends is a failure. 0: do not.",
)


def examples(*lines: str) -> str:
    """The end of a command's help: every command has examples, and a test runs them all through the parser."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def pass_client(command: Command) -> Command:
    """Give the command a client of the context that was chosen, and close it at the end."""

    @click.pass_context
    @functools.wraps(command)
    def connected(ctx: click.Context, *arguments: Any, **options: Any) -> Any:
        with Client.of_context(ctx.find_root().obj) as client:
            return command(client, *arguments, **options)

    return connected
