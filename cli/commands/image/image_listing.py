"""`shoal images`."""

import time
from collections.abc import Iterator, Mapping, Sequence

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.commands.common.listing_options import filter_option, no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.commands.image.image_filter import LIST_FILTERS, to_filters
from cli.render.table import FieldSource, aligned, print_listing
from shoal.api.v1.engine_pb2 import Filter, ImageView, ListImagesRequest
from shoal.api.v1.engine_pb2_grpc import ImagesStub
from shoal.docker_units import docker_age, docker_size
from shoal.errors import InvalidInput
from shoal.filters.image_filters import created_ms
from shoal.image_reference import ImageReference, parse
from shoal.images.image_documents import choose_variant, platform_text, size_of
from shoal.utc_text import utc_text

NONE = "<none>"
COLUMNS = ("repository", "tag", "image_id", "created", "size")
FIELDS: Mapping[str, FieldSource] = {
    "ID": "image_id",
    "Repository": "repository",
    "Tag": "tag",
    "Digest": "digest",
    "CreatedSince": "created",
    "CreatedAt": "created_at",
    "Size": "size",
    "VirtualSize": "size",
    "Containers": "containers",
    "SharedSize": lambda _: "N/A",
    "UniqueSize": lambda _: "N/A",
}
_SHORT = 12


@click.command(
    "ls",
    epilog=examples(
        "shoal images",
        "shoal images --digests nginx",
        "shoal images --filter dangling=true -q",
        "shoal images --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
    ),
)
@click.option("-a", "--all", is_flag=True, expose_value=False, help="Show all images (the listing always does).")
@click.option("--digests", is_flag=True, help="Show digests.")
@filter_option(LIST_FILTERS)
@format_option
@click.option("-q", "--quiet", is_flag=True, help="Only display image IDs.")
@no_trunc_option
@click.option("--tree", is_flag=True, help="List the platforms of each image as a tree.")
@click.argument("repository", default="", metavar="[REPOSITORY[:TAG]]", shell_complete=names_of("image"))
@pass_client
def list_images(
    client: Client,
    *,
    repository: str,
    digests: bool,
    filters: tuple[str, ...],
    form: str,
    quiet: bool,
    no_trunc: bool,
    tree: bool,
) -> None:
    """List the images of the cluster: those that were pulled, loaded, imported or built, and those that services use.

    SIZE is that of one platform: this host's, if the image has it; compressed, as it is in the registry.
    """
    given = to_filters(LIST_FILTERS, filters)
    if tree and (quiet or digests or no_trunc or form != "table"):
        raise InvalidInput("--tree: cannot be combined with --quiet, --digests, --no-trunc or --format")
    if repository:
        given.append(Filter(key="reference", value=repository))
    views = client.call(ImagesStub(client.channel).ListImages, ListImagesRequest(filters=given)).images
    ordered = sorted(views, key=created_ms, reverse=True)
    if tree:
        click.echo("\n".join(tree_lines(ordered)))
        return
    found = [each for view in ordered for each in rows(view, time.time())]
    if not no_trunc:
        found = [{**each, "image_id": short_id(str(each["image_id"]))} for each in found]
    if quiet:
        for text in dict.fromkeys(str(each["image_id"]) for each in found):
            click.echo(text)
        return
    columns = (*COLUMNS[:2], "digest", *COLUMNS[2:]) if digests else COLUMNS
    if not digests and form == "table":
        found = list({tuple(str(each[column]) for column in COLUMNS): each for each in found}.values())
    print_listing(found, columns, form=form, names=FIELDS)


def rows(view: ImageView, now: float) -> Iterator[dict[str, object]]:
    """A row for each name; one without a name for an image that has none."""
    variant = choose_variant(view) if view.image.variants else None
    created = created_ms(view)
    about = {
        "image_id": variant.config_digest if variant is not None else view.image.digest,
        "digest": view.image.digest,
        "created": f"{docker_age(int(now - created / 1000))} ago" if created > 0 else "N/A",
        "created_at": utc_text(created) if created > 0 else "",
        "size": docker_size(size_of(variant)) if variant is not None else "N/A",
        "size_bytes": size_of(variant) if variant is not None else None,
        "platforms": [platform_text(each) for each in view.image.variants],
        "containers": len(view.container_ids),
        "services": list(view.service_ids),
        "nodes": list(view.node_ids),
    }
    for name in map(parse, view.names):
        yield {"repository": repository_of(name), "tag": name.tag or NONE, **about}
    if not view.names:
        yield {"repository": NONE, "tag": NONE, **about}


def tree_lines(views: Sequence[ImageView]) -> list[str]:
    """Images with all of their names, and their platforms below them."""
    lines = [("IMAGE", "ID", "SIZE")]
    for view in views:
        names = ", ".join(parse(name).familiar for name in view.names) or "<untagged>"
        total = sum(map(size_of, view.image.variants))
        lines.append((names, short_id(view.image.digest), docker_size(total) if total else "N/A"))
        for number, each in enumerate(view.image.variants, start=1):
            branch = "└─" if number == len(view.image.variants) else "├─"
            lines.append((f"{branch} {platform_text(each)}", short_id(each.config_digest), docker_size(size_of(each))))
    return aligned(lines)


def repository_of(name: ImageReference) -> str:
    """As people write it."""
    return ImageReference(name.domain, name.path).familiar


def short_id(digest: str) -> str:
    """The first 12 digits."""
    return digest.partition(":")[2][:_SHORT]
