"""`shoal attach`."""

import sys

import click

from cli.client import Client
from cli.commands.arguments import examples, pass_client
from cli.commands.complete import names_of
from cli.exec.keys import DEFAULT, parse_keys
from cli.exec.session import attach, local_size
from shoal.api.v1.streams_pb2 import AttachStart


@click.command(
    "attach",
    epilog=examples(
        "shoal attach web.1",
        "shoal attach --no-stdin --sig-proxy=false web.1",
        "shoal attach --detach-keys ctrl-x game",
    ),
)
@click.option("--no-stdin", is_flag=True, help="Do not lead standard input to the program.")
@click.option(
    "--sig-proxy",
    type=click.BOOL,
    default=True,
    metavar="BOOL",
    help="Lead signals to the program, where it has no terminal (true).",
)
@click.option("--detach-keys", default=DEFAULT, metavar="KEYS", help=f"Leave when they are typed ({DEFAULT}).")
@click.argument("task", metavar="TASK", shell_complete=names_of("running task", "service"))
@pass_client
def command(client: Client, no_stdin: bool, sig_proxy: bool, detach_keys: str, task: str) -> None:
    """Be at the other end of the program of TASK (named as for `exec`): what it writes from now on, and what it reads
    if its service has `--interactive`, in a terminal if it has `--tty`.

    The exit code is the program's. It goes on when this command ends, and never waits for it: who takes too little of
    its output is left behind; `shoal service logs` has all of it.
    """
    keys = parse_keys(detach_keys) if detach_keys else b""
    start = AttachStart(task=task, terminal=local_size() if sys.stdout is not None and sys.stdout.isatty() else None)
    sys.exit(attach(client, start, reads=not no_stdin, forwards=sig_proxy, keys=keys))
