"""Images from their registries, for containers: pulled into the cluster, or described. Imports what talks to
registries: import this module where it is used.
"""

from functools import partial

import click

from cli.client import Client
from cli.commands.image.image_calls import name_copied_image
from cli.commands.image.image_options import registries_with_logins, run
from cli.commands.image.image_transfer import transfer
from cli.images.cluster_images import describe_image
from cli.images.cluster_repository import ClusterRepository
from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform
from shoal.image_reference import ImageReference, parse


def pull_into_cluster(
    client: Client,
    ctx: click.Context,
    repository: str,
    reference: ImageReference,
    *,
    platform: tuple[str, ...],
    quiet: bool,
) -> ImageView:
    """Pull an image into the cluster's image repository, and name it. Raises as `shoal pull` does.

    Args:
        repository: the cluster's.
        platform: os, architecture, and perhaps variant; empty: all of them.
    """
    registries = registries_with_logins(ctx, None, [reference, parse(repository)])
    single = Platform(*platform) if platform else None
    copy = partial(transfer, ClusterRepository(repository, registries), reference, single)
    image = copy(quiet=quiet)
    return ImageView(image=name_copied_image(client, image, partial(copy, quiet=True)), names=[image.name])


def unlisted_image(ctx: click.Context, reference: ImageReference) -> Image:
    """What its own registry says of an image that the cluster has no record of. Raises as `shoal pull` does."""
    return run(describe_image(registries_with_logins(ctx, None, [reference]), reference), reference.domain)
