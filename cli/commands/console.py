"""`shoal console`: the web console of the person at this machine; `shoal console token` for one that serves a team."""

import os
import sys
from pathlib import Path

import click

from cli.commands.common.common_options import examples
from cli.commands.context import contexts
from cli.render.error_lines import CommandFailed

SERVER = "shoal-console"


@click.group(
    "console",
    invoke_without_command=True,
    epilog=examples("shoal console", "shoal console --no-browser --port 8080", "shoal console token"),
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on loopback (default: a free one).")
@click.pass_context
def command(ctx: click.Context, *, no_browser: bool, port: int) -> None:
    """Open the web console.

    It runs on this machine, with the current context, until interrupted. The address that it prints is good for one
    sign-in.
    """
    if ctx.invoked_subcommand is not None:
        return
    chosen = contexts().resolve(ctx.find_root().obj, os.environ)
    server = Path(sys.executable).with_name(SERVER)
    if not server.is_file():
        raise CommandFailed(f"{server} not found; install shoal again")
    opening = "--no-browser" if no_browser else "--browser"
    arguments = [SERVER, "--local", "--context", chosen.name, "--listen", f"127.0.0.1:{port}", opening]
    os.execv(server, [*arguments, "--log-level", "warning"])  # noqa: S606  # the same installation's program


@command.command("token", epilog=examples("shoal console token"))
@click.pass_context
def token(ctx: click.Context) -> None:
    """Print a token to sign in to a web console with.

    It is good for five minutes and one sign-in, at any console of the context's cluster.
    """
    import secrets
    from datetime import UTC, datetime

    from shoal.identity.identity import Identity
    from shoal.identity.sign_in_token import make

    chosen = contexts().resolve(ctx.find_root().obj, os.environ)
    click.echo(make(Identity.load(chosen.directory), number=secrets.token_urlsafe(16), now=datetime.now(UTC)))
