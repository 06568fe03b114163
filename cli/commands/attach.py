"""`shoal attach`."""

import sys

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.exec.exec_session import attach, local_size
from shoal.api.v1.streams_pb2 import AttachStart
from shoal.detach_keys import DEFAULT, parse_keys


@click.command(
    "attach",
    epilog=examples(
        "shoal attach web.1",
        "shoal attach db",
        "shoal attach --no-stdin --sig-proxy=false web.1",
        "shoal attach --detach-keys ctrl-x game",
    ),
)
@click.option("--no-stdin", is_flag=True, help="Do not attach STDIN.")
@click.option(
    "--sig-proxy",
    type=click.BOOL,
    default=True,
    metavar="BOOL",
    help="Forward signals if the process has no terminal (default true).",
)
@click.option("--detach-keys", default=DEFAULT, metavar="KEYS", help=f"Key sequence for detaching (default {DEFAULT}).")
@click.argument("task", metavar="CONTAINER", shell_complete=names_of("running container", "running task", "service"))
@pass_client
def command(client: Client, no_stdin: bool, sig_proxy: bool, detach_keys: str, task: str) -> None:
    """Attach to the main process of a container or task (named as for `shoal exec`).

    Displays its output from now on and, if its service was created with `--interactive`, sends it your input.
    The command exits with the exit code of the process. Detaching does not stop the process. The process never waits
    for attached clients: a slow client misses output, which `shoal service logs` still has.
    """
    keys = parse_keys(detach_keys) if detach_keys else b""
    start = AttachStart(task=task, terminal=local_size() if sys.stdout is not None and sys.stdout.isatty() else None)
    sys.exit(attach(client, start, forwards_stdin=not no_stdin, forwards_signals=sig_proxy, detach_keys=keys))
