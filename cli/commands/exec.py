"""`shoal exec`."""

import os
import sys
from typing import Any

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.exec.exec_request import ExecOptions, exec_start, faults_by_option
from cli.exec.exec_session import local_size, run
from shoal.errors import InvalidInput


def strip_double_dash(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """`CONTAINER -- COMMAND`, as users of other orchestrators type it."""
    words = words[1:] if words[:1] == ("--",) else words
    if not words and not ctx.resilient_parsing:
        raise click.MissingParameter(ctx=ctx, param=parameter)
    return words


@click.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "shoal exec -it db sh",
        "shoal exec -it web.1 sh",
        "shoal exec web ls -la /srv",
        "shoal exec -u postgres -e PGDATABASE=shop db.1 pg_dump > shop.sql",
        "shoal exec -i -u postgres db.1 psql shop < shop.sql",
        "shoal exec -d -w /srv web.2 ./reindex --all",
    ),
)
@click.option("-i", "--interactive", is_flag=True, help="Keep STDIN open.")
@click.option("-t", "--tty", is_flag=True, help="Allocate a pseudo-TTY.")
@click.option("-d", "--detach", is_flag=True, help="Detached mode: run the command in the background.")
@click.option(
    "-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set an environment variable; without a value, copy it."
)
@click.option("--env-file", multiple=True, metavar="FILE", help="Read in a file of environment variables.")
@click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Username or UID.")
@click.option("-w", "--workdir", default="", metavar="PATH", help="Working directory inside the container.")
@click.option("--privileged", is_flag=True, help="Give extended privileges to the command.")
@click.option("--detach-keys", metavar="KEYS", help="Not supported: use --detach.")
@click.argument("task", metavar="CONTAINER", shell_complete=names_of("running container", "running task", "service"))
@click.argument(
    "program", metavar="COMMAND [ARG]...", nargs=-1, required=True, type=click.UNPROCESSED, callback=strip_double_dash
)
@pass_client
def command(client: Client, *, detach_keys: str | None, **given: Any) -> None:
    """Run a command in a running container.

    CONTAINER is the name of a container, of a task (`web.1`), an ID or ID prefix, or a service: then its running task
    with the lowest slot is used.

    Exits with the exit code of the command; 126 if it cannot be run, 127 if it is not found. Without `--tty`, signals
    are forwarded to the command; a second Ctrl-C ends `shoal exec`. If `shoal exec` ends first, the command receives
    SIGHUP.
    """
    if detach_keys:
        raise InvalidInput("--detach-keys: not supported: with --detach, a command continues when `shoal exec` ends")
    flags = ExecOptions(**given)
    start = exec_start(
        flags, environment=os.environ, size=local_size(), stdin_is_terminal=sys.stdin is not None and sys.stdin.isatty()
    )
    try:
        sys.exit(run(client, start))
    except InvalidInput as error:
        raise InvalidInput(faults_by_option(error.faults)) from error
