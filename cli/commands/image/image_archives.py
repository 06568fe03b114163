"""`shoal save`, `shoal load`, `shoal import`."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.image.image_calls import get_image, set_image
from cli.commands.image.image_options import (
    platform_option,
    reference_with_tag,
    registries_option,
    registries_with_logins,
    repository_name,
    run,
)
from cli.images.cluster_repository import ClusterRepository
from cli.render.layer_bars import LOADING, SAVING, LayerBars
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform, host_platform
from shoal.errors import InvalidInput
from shoal.image_reference import ImageReference, parse


@click.command(
    "save",
    epilog=examples("shoal save --output nginx.tar nginx:1.27", "shoal save web:1 web:2 | gzip > web.tar.gz"),
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file, instead of STDOUT."
)
@platform_option("Save only this platform (default: all platforms of the image).")
@registries_option
@click.argument("images", nargs=-1, required=True, shell_complete=names_of("image"))
@click.pass_context
@pass_client
def save(
    client: Client,
    ctx: click.Context,
    *,
    images: tuple[str, ...],
    output: Path | None,
    platform: Platform | None,
    registries: Path | None,
) -> None:
    """Save one or more images to a tar archive, which is an OCI layout and what `docker load` reads."""
    from cli.images.cluster_images import save_images

    if output is None and sys.stdout.isatty():
        raise InvalidInput("cowardly refusing to save to a terminal; use --output or redirect")
    requested = _requested(client, images)
    name = repository_name(client)
    cluster = ClusterRepository(name, registries_with_logins(ctx, registries, [parse(name)]))
    with LayerBars(SAVING, quiet=output is None) as bars:
        if output is None:
            run(save_images(cluster, requested, sys.stdout.buffer, bars, platform=platform))
            sys.stdout.buffer.flush()
            return
        temporary = output.with_name(f".{output.name}.new")
        try:
            with temporary.open("wb") as file:
                run(save_images(cluster, requested, file, bars, platform=platform))
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)


def _requested(client: Client, images: Sequence[str]) -> list[tuple[str, Sequence[ImageReference]]]:
    """Digests with the names that are to stand in the archive: those that are given; none for an ID."""
    found: dict[str, list[ImageReference]] = {}
    for each in images:
        view = get_image(client, each)
        names = found.setdefault(view.image.digest, [])
        try:
            name = parse(each).with_default_tag()
        except InvalidInput:
            continue
        if name.tag and str(name) in view.names and name not in names:
            names.append(name)
    return list(found.items())


@click.command(
    "load",
    epilog=examples("shoal load --input nginx.tar", "shoal load --quiet < web.tar.zst"),
)
@click.option("-i", "--input", "source", type=click.Path(path_type=Path), help="Read from a file, instead of STDIN.")
@platform_option("Load only this platform (default: all platforms of the image).")
@click.option("-q", "--quiet", is_flag=True, help="Suppress the load output.")
@registries_option
@click.pass_context
@pass_client
def load(
    client: Client,
    ctx: click.Context,
    *,
    source: Path | None,
    platform: Platform | None,
    quiet: bool,
    registries: Path | None,
) -> None:
    """Load images from a tar archive or from STDIN into the cluster's image repository.

    The archive is an OCI layout or what `docker save` writes, also compressed with gzip, zstd, bzip2 or xz.
    """
    from cli.images.cluster_images import load_archive

    name = repository_name(client)
    cluster = ClusterRepository(name, registries_with_logins(ctx, registries, [parse(name)]))
    with LayerBars(LOADING, quiet=quiet) as bars:
        loaded = run(load_archive(cluster, source or _standard_input("--input"), bars, platform=platform))
    for image in loaded:
        set_image(client, image)
        click.echo(f"Loaded image: {parse(image.name).familiar}" if image.name else f"Loaded image ID: {_id_of(image)}")


@click.command(
    "import",
    epilog=examples(
        "shoal import rootfs.tar mine:1",
        "tar -C root -c . | shoal import --change 'CMD [\"/bin/sh\"]' - mine:1",
    ),
)
@click.option("-c", "--change", "changes", multiple=True, help="Apply a Dockerfile instruction to the image.")
@click.option("-m", "--message", default="", help="Set a commit message for the image.")
@platform_option("Platform of the image (default: this host's).")
@click.option("--allow-devices", is_flag=True, help="Import device nodes too.")
@registries_option
@click.argument("source", metavar="FILE|-")
@click.argument("name", default="", metavar="[REPOSITORY[:TAG]]")
@click.pass_context
@pass_client
def import_image(
    client: Client,
    ctx: click.Context,
    *,
    source: str,
    name: str,
    changes: tuple[str, ...],
    message: str,
    platform: Platform | None,
    allow_devices: bool,
    registries: Path | None,
) -> None:
    """Create an image of one layer from a tar archive of a root file system; `-` is STDIN."""
    from cli.images.cluster_images import import_tar
    from shoal.images.tar_import import ImportSettings

    if "://" in source:
        raise InvalidInput("importing from a URL is not supported; use `curl URL | shoal import - NAME`")
    settings = ImportSettings(
        platform or host_platform(),
        datetime.now(UTC).replace(microsecond=0),
        str(reference_with_tag(name)) if name else "",
        changes,
        message or f"Imported from {source}",
        allow_devices,
    )
    repository = repository_name(client)
    cluster = ClusterRepository(repository, registries_with_logins(ctx, registries, [parse(repository)]))
    given = _standard_input("FILE") if source == "-" else Path(source)
    with LayerBars(LOADING) as bars:
        image = run(import_tar(cluster, given, settings, bars))
    set_image(client, image)
    click.echo(_id_of(image))


def _standard_input(instead: str) -> BinaryIO:
    if sys.stdin.isatty():
        raise InvalidInput(f"standard input is a terminal; use {instead} or redirect")
    return sys.stdin.buffer


def _id_of(image: Image) -> str:
    return image.variants[0].config_digest if image.variants else image.digest
