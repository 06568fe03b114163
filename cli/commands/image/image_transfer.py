"""`shoal pull`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.image.image_calls import get_image, name_copied_image
from cli.commands.image.image_options import (
    content_trust_option,
    platform_option,
    registries_option,
    registries_with_logins,
    repository_name,
    run,
)
from cli.images.cluster_repository import ClusterRepository
from cli.render.layer_bars import PULLING, LayerBars
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform
from shoal.errors import InvalidInput, NotFound
from shoal.image_reference import ImageReference, parse


@click.command(
    "pull",
    epilog=examples(
        "shoal pull nginx:1.27",
        "shoal pull --platform linux/arm64 registry.example.org/team/app:1",
        "shoal pull -q --all-tags registry:5000/hello",
    ),
)
@click.option("-a", "--all-tags", is_flag=True, help="Pull all tags of the repository.")
@platform_option("Pull only this platform (default: all platforms of the image).")
@click.option("-q", "--quiet", is_flag=True, help="Only display the name.")
@content_trust_option
@registries_option
@click.argument("name", metavar="NAME[:TAG|@DIGEST]", shell_complete=names_of("image"))
@click.pass_context
@pass_client
def pull(
    client: Client,
    ctx: click.Context,
    *,
    name: str,
    all_tags: bool,
    platform: Platform | None,
    quiet: bool,
    registries: Path | None,
) -> None:
    """Pull an image from a registry into the cluster's image repository, from which every node fetches it.

    The image is transferred once for the whole cluster, with your credentials (see `shoal login`); nodes need none.
    Layers that are in the repository already are not transferred again.
    """
    from cli.images.cluster_images import list_tags

    requested = parse(name)
    if all_tags and (requested.tag or requested.digest):
        raise InvalidInput("--all-tags: cannot be combined with a tag or a digest")
    cluster = repository_name(client)
    known = registries_with_logins(ctx, registries, [requested, parse(cluster)])
    references = [requested.with_default_tag()]
    if all_tags:
        tags = run(list_tags(known, requested), requested.domain)
        references = [parse(f"{requested.name}:{tag}") for tag in sorted(tags)]  # what a registry says may be anything
    elif not quiet and not requested.tag and not requested.digest:
        click.echo("Using default tag: latest", err=True)
    for reference in references:
        copy = partial(transfer, ClusterRepository(cluster, known), reference, platform)
        _name(client, copy, reference, quiet=quiet)


def transfer(cluster: ClusterRepository, reference: ImageReference, platform: Platform | None, *, quiet: bool) -> Image:
    """Copy an image into the cluster's image repository, with progress on standard error; it has no name yet.

    Raises as `pull_image` does.
    """
    from cli.images.cluster_images import pull_image

    if not quiet:
        click.echo(f"{reference.tag or reference.digest}: Pulling from {reference.path}", err=True)
    with LayerBars(PULLING, quiet=quiet) as bars:
        return run(pull_image(cluster, reference, bars, platform=platform), reference.domain)


def _name(client: Client, copy: Callable[..., Image], reference: ImageReference, *, quiet: bool) -> None:
    image = copy(quiet=quiet)
    before = _digest_before(client, image.name)
    image = name_copied_image(client, image, partial(copy, quiet=True))
    if not quiet:
        click.echo(f"Digest: {image.digest}")
        status = "Image is up to date for" if before == image.digest else "Downloaded newer image for"
        click.echo(f"Status: {status} {reference.familiar}")
    click.echo(str(reference))


def _digest_before(client: Client, name: str) -> str:
    try:
        found: str = get_image(client, name).image.digest
    except NotFound:
        return ""
    return found
