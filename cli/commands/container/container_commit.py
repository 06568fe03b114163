"""`shoal commit`."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import containers
from shoal.api.v1.engine_pb2 import CommitContainerRequest


@click.command(
    "commit",
    epilog=examples(
        "shoal commit db mine:1",
        "shoal commit -m 'with data' -a ann -c 'CMD [\"postgres\"]' -c 'ENV DEBUG=1' db mine:2",
    ),
)
@click.option("-a", "--author", default="", help="Author of the image.")
@click.option("-c", "--change", "changes", multiple=True, help="Apply a Dockerfile instruction to the image.")
@click.option("-m", "--message", default="", help="Commit message.")
@click.option(
    "-p", "--pause/--no-pause", "pause", default=True, help="Pause the container while its files are read (default)."
)
@click.argument("container", metavar="CONTAINER", shell_complete=names_of("container"))
@click.argument("name", default="", metavar="[REPOSITORY[:TAG]]")
@pass_client
def command(
    client: Client, *, author: str, changes: tuple[str, ...], message: str, pause: bool, container: str, name: str
) -> None:
    """Create an image from a container's changes, in the cluster's image repository. Volumes are no part of it."""
    request = CommitContainerRequest(
        container=container, name=name, author=author, message=message, changes=changes, no_pause=not pause
    )
    image = client.finish(lambda: containers(client).CommitContainer.future(request))
    click.echo(image.variants[0].config_digest if image.variants else image.digest)
