"""`shoal exec`."""

import os
import sys
from typing import Any

import click

from cli.client import Client
from cli.commands.arguments import examples, pass_client
from cli.commands.complete import names_of
from cli.exec.request import Flags, in_flags, start_of
from cli.exec.session import local_size, run
from shoal.errors import InvalidInput


def without_dashes(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """`TASK -- COMMAND`, as users of other orchestrators type it."""
    words = words[1:] if words[:1] == ("--",) else words
    if not words and not ctx.resilient_parsing:
        raise click.MissingParameter(ctx=ctx, param=parameter)
    return words


@click.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "shoal exec -it web.1 sh",
        "shoal exec web ls -la /srv",
        "shoal exec -u postgres -e PGDATABASE=shop db.1 pg_dump > shop.sql",
        "shoal exec -i -u postgres db.1 psql shop < shop.sql",
        "shoal exec -d -w /srv web.2 ./reindex --all",
    ),
)
@click.option("-i", "--interactive", is_flag=True, help="The program reads standard input.")
@click.option("-t", "--tty", is_flag=True, help="The program has a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Let it run, and do not wait for it.")
@click.option(
    "-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable; without a value as it is here."
)
@click.option("--env-file", multiple=True, metavar="FILE", help="Set variables from a file.")
@click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Run as this user.")
@click.option("-w", "--workdir", default="", metavar="PATH", help="Run in this directory.")
@click.option("--privileged", is_flag=True, help="With all capabilities.")
@click.argument("task", metavar="TASK", shell_complete=names_of("running task", "service"))
@click.argument(
    "program", metavar="COMMAND [ARG]...", nargs=-1, required=True, type=click.UNPROCESSED, callback=without_dashes
)
@pass_client
def command(client: Client, **given: Any) -> None:
    """Run a program in the container of TASK (a name like `web.1`, the beginning of an id, or a service, of which the
    running task with the lowest slot is meant).

    The exit code is the program's; 126 if it could not be run, 127 if it is not there. A program without a terminal is
    sent the signals that this command gets; a second Ctrl-C ends the command. When the command ends before the program,
    that is hung up on.
    """
    flags = Flags(**given)
    start = start_of(flags, here=os.environ, size=local_size(), typed=sys.stdin is not None and sys.stdin.isatty())
    try:
        sys.exit(run(client, start))
    except InvalidInput as error:
        raise InvalidInput(in_flags(error.faults)) from error
