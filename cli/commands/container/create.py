"""`shoal create`."""

from typing import Any

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.container.attach_options import attached_streams
from cli.commands.container.container_creation import container_id, create_container, creation_options, request_of
from cli.exec.signal_forwarding import held_signals


@click.command(
    "create",
    epilog=examples(
        "shoal create --name db -v data:/var/lib/db --network front registry:5000/postgres:16",
        "shoal create -it --node h2 registry:5000/busybox:1 sh",
    ),
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
)
@creation_options
@click.pass_context
@pass_client
def create(client: Client, ctx: click.Context, **given: Any) -> None:
    """Create a container of IMAGE without starting it, and print its ID.

    It has a node then, its image and its root file system; `shoal start` starts it. The flags are those of `shoal run`.
    """
    interactive = bool(given["interactive"])
    streams, faults = attached_streams(given["attach"], interactive=interactive, detach=False)
    request = request_of(client, ctx, given, faults=faults)
    request.definition.task.container.stdin_once = interactive and "stdin" in streams
    with held_signals():
        view = create_container(client, request, given["cidfile"])
        click.echo(container_id(view))
