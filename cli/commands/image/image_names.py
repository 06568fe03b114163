"""`shoal tag`, `shoal rmi`, `shoal image prune`."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.for_each import for_each
from cli.commands.common.name_completion import names_of
from cli.commands.image.image_calls import get_image, set_image
from cli.commands.image.image_filter import PRUNE_FILTERS, to_filters
from cli.commands.image.image_options import reference_with_tag
from shoal.api.v1.engine_pb2 import (
    PruneImagesRequest,
    RemoveImageRequest,
    RemoveImagesResponse,
)
from shoal.api.v1.engine_pb2_grpc import ImagesStub
from shoal.api.v1.standalone_pb2 import Image
from shoal.docker_units import docker_size
from shoal.errors import InvalidInput

REMOVE_SECONDS = 60.0
"""The registry is asked to delete each image."""


@click.command(
    "tag", epilog=examples("shoal tag web:1 registry.example.org/team/web:1", "shoal tag 4abcf2066143 web:2")
)
@click.argument("source", metavar="SOURCE[:TAG]", shell_complete=names_of("image"))
@click.argument("target", metavar="TARGET[:TAG]")
@pass_client
def tag(client: Client, *, source: str, target: str) -> None:
    """Create a name TARGET that refers to SOURCE. No data is copied."""
    name = str(reference_with_tag(target))
    found = get_image(client, source).image
    image = Image()
    image.CopyFrom(found)
    image.name = name
    image.ClearField("meta")
    set_image(client, image)


@click.command("rm", epilog=examples("shoal rmi web:1", "shoal rmi --force 4abcf2066143"))
@click.option("-f", "--force", is_flag=True, help="Remove all names of an image that is given by its ID.")
@click.option("--no-prune", is_flag=True, expose_value=False, help="Has no effect: images have no untagged parents.")
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Not supported: see `shoal pull --platform`."
)
@click.argument("images", nargs=-1, required=True, shell_complete=names_of("image"))
@pass_client
def remove(client: Client, *, images: tuple[str, ...], force: bool, platforms: tuple[str, ...]) -> None:
    """Remove one or more images: their names, and with the last name the image.

    An image that a service uses cannot be removed. Nodes keep what they have until their disk space is low; in the
    registry, space is freed by its own garbage collection.
    """

    if platforms:
        raise InvalidInput(
            "--platform: not supported: a registry keeps an image whole; pull one platform with `shoal pull --platform`"
        )

    def remove_one(image: str) -> None:
        request = RemoveImageRequest(image=image, force=force)
        _show(client.call(ImagesStub(client.channel).RemoveImage, request, seconds=REMOVE_SECONDS), capital=True)

    for_each(images, remove_one).exit_if_failed()


@click.command(
    "prune",
    epilog=examples("shoal image prune", "shoal image prune --all --force", "shoal image prune --filter until=240h"),
)
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Remove all unused images, not just those without a name."
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Keys: dangling, label, label!, until (24h or a time).",
)
@pass_client
def prune(client: Client, *, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove unused images: those without a name, or, with --all, all that no service or container uses.

    The space displayed is what no other image needs in the cluster's image repository; its registry frees that by its
    own garbage collection (`registry garbage-collect`). Nodes free space when their disks run short.
    """
    given = to_filters(PRUNE_FILTERS, filters)
    what = "all images that no service or container uses" if everything else "all images without a name"
    if not force:
        click.confirm(f"WARNING! This will remove {what}.\nAre you sure you want to continue?", abort=True, err=True)
    request = PruneImagesRequest(all=everything, filters=given)
    done = client.call(ImagesStub(client.channel).PruneImages, request, seconds=REMOVE_SECONDS * 10)
    if done.untagged or done.deleted:
        click.echo("Deleted Images:")
        _show(done, capital=False)
        click.echo()
    click.echo(f"Total reclaimed space: {docker_size(done.reclaimed_bytes)}")


def _show(done: RemoveImagesResponse, *, capital: bool) -> None:
    """As Docker does: `Untagged: web:1`; `untagged: web:1` of prune."""
    for verb, names in (("untagged", done.untagged), ("deleted", done.deleted)):
        for name in names:
            click.echo(f"{verb.capitalize() if capital else verb}: {name}")
