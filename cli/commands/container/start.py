"""`shoal start`."""

import sys

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.for_each import print_each
from cli.commands.common.name_completion import names_of
from cli.commands.container.attach_options import detach_keys_option
from cli.commands.container.container_calls import containers
from cli.exec.container_run import Interrupted, RunOptions, run_attached
from cli.exec.signal_forwarding import held_signals
from cli.render.error_lines import CommandFailed
from shoal.api.v1.engine_pb2 import ContainerView, GetContainerRequest, StartContainerRequest
from shoal.detach_keys import parse_keys
from shoal.errors import InvalidInput


def _refuse_checkpoint(_: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise InvalidInput(f"{parameter.opts[0]}: not supported: containers have no checkpoints")


@click.command("start", epilog=examples("shoal start db", "shoal start -ai work", "shoal start web1 web2"))
@click.option("-a", "--attach", is_flag=True, help="Attach STDOUT and STDERR, and forward signals.")
@click.option("-i", "--interactive", is_flag=True, help="Attach the container's STDIN.")
@click.option("--checkpoint", metavar="NAME", callback=_refuse_checkpoint, expose_value=False, help="Not supported.")
@click.option(
    "--checkpoint-dir", metavar="DIRECTORY", callback=_refuse_checkpoint, expose_value=False, help="Not supported."
)
@detach_keys_option
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("stopped container"))
@pass_client
def start(client: Client, *, attach: bool, interactive: bool, detach_keys: str, names: tuple[str, ...]) -> None:
    """Start one or more containers that do not run, on the files of their last run.

    With `--attach` or `--interactive`, one container: exits with the exit code of its program.
    """
    keys = parse_keys(detach_keys) if detach_keys else b""
    if attach or interactive:
        if len(names) > 1:
            raise InvalidInput("--attach and --interactive: specify one container")
        sys.exit(_start_attached(client, names[0], interactive=interactive, keys=keys))

    def start_one(name: str) -> None:
        client.call(containers(client).StartContainer, StartContainerRequest(container=name), seconds=None)

    print_each(names, start_one)


def _start_attached(client: Client, name: str, *, interactive: bool, keys: bytes) -> int:
    view: ContainerView = client.call(containers(client).GetContainer, GetContainerRequest(container=name))
    spec = view.container.definition.task.container
    with held_signals() as held:
        options = RunOptions(
            container=view.container.meta.id,
            shows=("stdout", "stderr"),
            forwards_stdin=interactive and spec.stdin_open,
            forwards_signals=True,
            detach_keys=keys,
            has_terminal=spec.tty,
            is_removed=view.container.definition.auto_remove,
            held=held,
        )
        try:
            return run_attached(client, containers(client), options)
        except Interrupted as interrupted:
            return 128 + interrupted.number
        except CommandFailed as error:  # the codes of `run` are its own
            raise CommandFailed(str(error)) from error
