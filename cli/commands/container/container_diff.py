"""`shoal diff`."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import containers
from cli.render.output_terminal import strip_control
from shoal.api.v1.engine_pb2 import ListChangesRequest, PathChange

_LETTERS = {PathChange.MODIFIED: "C", PathChange.ADDED: "A", PathChange.DELETED: "D"}


@click.command("diff", epilog=examples("shoal diff db"))
@click.argument("container", metavar="CONTAINER", shell_complete=names_of("container"))
@pass_client
def command(client: Client, *, container: str) -> None:
    """List what a container has changed of its image's files: A added, C changed, D deleted; volumes are left out."""
    for batch in client.stream(containers(client).ListChanges, ListChangesRequest(container=container), seconds=None):
        click.echo("\n".join(f"{_LETTERS[each.kind]} {strip_control(each.path)}" for each in batch.changes))
