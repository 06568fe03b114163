"""`shoal push`: an image of the cluster, or of a file, to a registry."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cli.client import Client
from cli.commands.common.common_options import examples
from cli.commands.common.name_completion import names_of
from cli.commands.image.image_calls import get_image
from cli.commands.image.image_options import (
    content_trust_option,
    platform_option,
    reference_with_tag,
    registries_option,
    registries_with_logins,
    repository_name,
    run,
)
from cli.images.cluster_repository import ClusterRepository
from cli.render.layer_bars import PUSHING, LayerBars
from cli.render.output_terminal import draw, is_interactive
from cli.render.task_rows import short_image
from shoal.api.v1.engine_pb2 import ListImagesRequest
from shoal.api.v1.engine_pb2_grpc import ImagesStub
from shoal.distribution.manifests import Platform
from shoal.errors import InvalidInput, NotFound
from shoal.image_reference import ImageReference, parse

COMPRESSIONS = ("gzip", "zstd", "none")


@click.command(
    "push",
    epilog=examples(
        "shoal push registry.example.org/team/app:1",
        "shoal push --all-tags registry.example.org/team/app",
        "shoal image push build/images/hello-1.tar registry:5000/hello:1",
    ),
)
@click.option("-a", "--all-tags", is_flag=True, help="Push all tags of the repository.")
@platform_option("Push only this platform (default: all platforms of the image).")
@click.option("-q", "--quiet", is_flag=True, help="Only display the digest (of a file), or the name.")
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="gzip",
    show_default=True,
    help="Of a file: compression of layers that are uncompressed in it.",
)
@content_trust_option
@registries_option
@click.argument("names", metavar="[FILE] NAME[:TAG]", nargs=-1, required=True, shell_complete=names_of("image"))
@click.pass_context
def push(
    ctx: click.Context,
    *,
    names: tuple[str, ...],
    all_tags: bool,
    platform: Platform | None,
    quiet: bool,
    compression: str,
    registries: Path | None,
) -> None:
    """Push an image of the cluster to the registry that its name says; or, with FILE, an image of a file.

    FILE is an OCI layout, an OCI archive or a `docker save` archive; it needs no cluster. Layers that are uncompressed
    in it are compressed during the push: the image then has the same content, but a different digest.
    """
    if len(names) == 2:
        if all_tags or platform:
            raise InvalidInput("--all-tags and --platform: cannot be combined with a file")
        push_file(ctx, Path(names[0]), names[1], registries, compression, quiet=quiet)
        return
    if len(names) > 2:
        raise InvalidInput(f"expected NAME, or FILE and NAME; got {len(names)} arguments")
    with Client.of_context(ctx.find_root().obj) as client:
        push_names(ctx, client, names[0], registries, all_tags=all_tags, platform=platform, quiet=quiet)


def push_names(
    ctx: click.Context,
    client: Client,
    name: str,
    registries: Path | None,
    *,
    all_tags: bool,
    platform: Platform | None,
    quiet: bool,
) -> None:
    """Push one name, or all of its repository."""
    from cli.images.cluster_images import push_image

    references = _names_of(client, name) if all_tags else [reference_with_tag(name)]
    cluster = repository_name(client)
    known = registries_with_logins(ctx, registries, [*references, parse(cluster)])
    if not quiet:
        click.echo(f"The push refers to repository [{references[0].name}]", err=True)
    for reference in references:
        image = get_image(client, str(reference)).image
        with LayerBars(PUSHING, quiet=quiet) as bars:
            where = ClusterRepository(cluster, known)
            work = push_image(where, image.digest, reference, bars, platform=platform, source=image.source)
            pushed = run(work, reference.domain)
        click.echo(str(reference) if quiet else f"{reference.tag}: digest: {pushed.digest} size: {pushed.size}")


def push_file(
    ctx: click.Context, source: Path, name: str, registries: Path | None, compression: str, *, quiet: bool
) -> None:
    """Push the image in a file."""
    from cli.images.push import push as push_archive
    from shoal.images.stream_compressor import Compression

    def say(line: str) -> None:
        if not quiet and is_interactive(sys.stderr):
            draw(f"\r\x1b[2K{line}", err=True)
        elif not quiet:
            click.echo(line, err=True)

    if not source.exists():
        raise NotFound(f"{source}: no such file or directory")
    chosen: Compression = "zstd" if compression == "zstd" else "none" if compression == "none" else "gzip"
    reference = parse(name)
    known = registries_with_logins(ctx, registries, [reference])
    pushed = run(push_archive(source, name, known, say, compression=chosen), reference.domain)
    if not quiet and is_interactive(sys.stderr):
        draw("\r\x1b[2K", err=True)
    click.echo(pushed.digest if quiet else f"{short_image(pushed.reference)}: {pushed.digest}")


def _names_of(client: Client, name: str) -> Sequence[ImageReference]:
    """All names with tags of a repository, sorted."""
    requested = parse(name)
    if requested.tag or requested.digest:
        raise InvalidInput("--all-tags: cannot be combined with a tag or a digest")
    views = client.call(ImagesStub(client.channel).ListImages, ListImagesRequest()).images
    found = [parse(each) for view in views for each in view.names]
    same = sorted((each for each in found if each.name == requested.name and each.tag), key=str)
    if not same:
        raise NotFound(f"no image of the cluster has a tag of repository {requested.familiar}")
    return same
