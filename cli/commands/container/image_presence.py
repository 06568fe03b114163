"""The image of a container that is going to be created: pulled into the cluster where it is not there."""

import click

from cli.client import Client
from cli.commands.image.image_calls import get_image
from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.errors import NotFound, Refused
from shoal.image_reference import parse
from shoal.spec_parsers.exposed_ports import parse_exposed

PULL_POLICIES = ("always", "missing", "never")


def present_image(
    client: Client, ctx: click.Context, name: str, *, pull: str, platform: tuple[str, ...], quiet: bool
) -> ImageView | None:
    """The image as the cluster has it; pulled before, as the policy says, with progress on standard error.

    Args:
        platform: os, architecture, and perhaps variant, that it has to be for; empty: any.
    Returns:
        None where the cluster has no image repository: then nodes pull from the image's own registry, as for services.
    Raises:
        NotFound: it is not there, and may not be pulled; or its registry does not have it.
        ShoalError: as `shoal pull`.
    """
    found = _find(client, name, platform)
    if found is not None and pull != "always":
        return found
    from shoal.api.v1.control_pb2 import GetClusterRequest

    repository = client.call(client.control.GetCluster, GetClusterRequest()).image_repository
    if not repository:
        return None
    reference = parse(name).with_default_tag()
    if pull == "never":
        raise NotFound(f"image {reference.familiar} not found in the cluster, and --pull is never")
    if not quiet and found is None:
        click.echo(f"Unable to find image '{reference.familiar}' in the cluster", err=True)
    from cli.commands.container.image_pull import pull_into_cluster

    return pull_into_cluster(client, ctx, repository, reference, platform=platform, quiet=quiet)


def _find(client: Client, name: str, platform: tuple[str, ...]) -> ImageView | None:
    try:
        found = get_image(client, name)
    except NotFound:
        return None
    return found if not platform or any(_is_for(each, platform) for each in found.image.variants) else None


def _is_for(variant: ImageVariant, platform: tuple[str, ...]) -> bool:
    return (variant.platform.os, variant.platform.architecture) == platform[:2]


def reference_of(view: ImageView, name: str) -> str:
    """How a container refers to the image: by the name that was given, or where that was an ID, by one of its names.

    Raises:
        Refused: it was given by an ID, and has no name.
    """
    if "@" in name or str(parse(name).with_default_tag()) in view.names:
        return name
    if not view.names:
        raise Refused(f"image {name} has no name; give it one with `shoal tag {name} NAME`")
    return view.names[0]


def exposed_ports(image: Image) -> list[PublishedPort]:
    """Ports that the image's configuration exposes; of an image of several platforms those of the first."""
    import json

    configuration = json.loads(image.variants[0].config or b"{}") if image.variants else {}
    texts = (configuration.get("config") or {}).get("ExposedPorts") or {}
    return [port for text in texts for port in parse_exposed(text)]
