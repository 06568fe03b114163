"""`shoal system df`."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.commands.container.container_calls import SIZE_SECONDS, containers
from cli.commands.image.image_listing import rows as image_rows
from cli.commands.image.image_listing import short_id
from cli.commands.system.disk_usage import (
    COLUMNS,
    FIELDS,
    blobs_of,
    usage_of_builds,
    usage_of_containers,
    usage_of_images,
    usage_of_volumes,
    volume_bytes,
)
from cli.render.container_rows import RowOptions, container_row
from cli.render.error_lines import warn
from cli.render.table import print_listing, table
from shoal.api.v1.builds_pb2 import BuildCacheRow, ListBuildCacheRequest
from shoal.api.v1.builds_pb2_grpc import BuildsStub
from shoal.api.v1.control_pb2 import ListVolumesRequest, VolumeView
from shoal.api.v1.engine_pb2 import ContainerView, ImageView, ListContainersRequest, ListImagesRequest
from shoal.api.v1.engine_pb2_grpc import ImagesStub
from shoal.docker_units import docker_size
from shoal.errors import InvalidInput

Row = dict[str, object]

_IMAGE_COLUMNS = ("repository", "tag", "image_id", "created", "size", "shared_size", "unique_size", "containers")
_CONTAINER_COLUMNS = ("container_id", "image", "command", "local_volumes", "size", "created", "status", "node", "names")
_BUILD_COLUMNS = ("cache_id", "node", "type", "size", "in_use", "shared")
_VOLUME_COLUMNS = ("volume_name", "links", "size")


@dataclass(frozen=True)
class ClusterData:
    """What there is in the cluster, with sizes as far as known."""

    images: Sequence[ImageView]
    containers: Sequence[ContainerView]
    volumes: Sequence[VolumeView]
    builds: Sequence[BuildCacheRow]


@click.command("df", epilog=examples("shoal system df", "shoal system df --verbose", "shoal system df --format json"))
@format_option
@click.option("-v", "--verbose", is_flag=True, help="Show detailed information on space usage.")
@pass_client
def show_usage(client: Client, *, form: str, verbose: bool) -> None:
    """Show disk usage of the cluster: images, containers, volumes and the cache of builds.

    Images are counted once, as they are stored in the cluster's registry. Sizes of containers are what they have
    changed of their images' files; these and volumes are counted on the nodes. What a node does not report is left out.
    """
    if verbose and form not in ("table", "json"):
        raise InvalidInput("--format: a template cannot be combined with --verbose")
    data = _read(client)
    if not verbose:
        usages = (
            usage_of_images(data.images),
            usage_of_containers(data.containers),
            usage_of_volumes(data.volumes),
            usage_of_builds(data.builds),
        )
        print_listing([each.row() for each in usages], COLUMNS, form=form, names=FIELDS)
        return
    parts = (
        ("Images", _IMAGE_COLUMNS, rows_of_images(data.images, time.time())),
        ("Containers", _CONTAINER_COLUMNS, _rows_of_containers(data.containers)),
        ("Local Volumes", _VOLUME_COLUMNS, rows_of_volumes(data.volumes)),
        ("Build cache", _BUILD_COLUMNS, rows_of_builds(data.builds)),
    )
    if form == "json":
        click.echo(json.dumps({title: rows for title, _, rows in parts}, indent=2, default=str))
        return
    for title, columns, rows in parts:
        click.echo(f"{title} space usage:\n\n{table(rows, columns)}\n")


def _read(client: Client) -> ClusterData:
    request = ListContainersRequest(all=True, include_tasks=True, include_sizes=True)
    images = client.call(ImagesStub(client.channel).ListImages, ListImagesRequest()).images
    found = client.call(containers(client).ListContainers, request, seconds=SIZE_SECONDS)
    volumes = client.call(client.control.ListVolumes, ListVolumesRequest(include_sizes=True), seconds=SIZE_SECONDS)
    builds = client.call(BuildsStub(client.channel).ListBuildCache, ListBuildCacheRequest(), seconds=SIZE_SECONDS)
    warn(*dict.fromkeys((*found.warnings, *volumes.warnings, *builds.warnings)))
    local = [each for each in volumes.volumes if each.volume.spec.driver in ("", "local")]
    return ClusterData(images, found.containers, local, builds.rows)


def rows_of_images(images: Sequence[ImageView], now: float) -> list[Row]:
    """A row for each name, with what the image shares with others."""
    users: dict[str, int] = {}
    for image in images:
        for digest in blobs_of([image]):
            users[digest] = users.get(digest, 0) + 1
    made = []
    for image in images:
        blobs = blobs_of([image])
        unique = sum(size for digest, size in blobs.items() if users[digest] == 1)
        sizes = {
            "size": docker_size(sum(blobs.values())),
            "shared_size": docker_size(sum(blobs.values()) - unique),
            "unique_size": docker_size(unique),
            "containers": len(image.container_ids),
        }
        made += [{**row, "image_id": short_id(str(row["image_id"])), **sizes} for row in image_rows(image, now)]
    return made


def _rows_of_containers(found: Sequence[ContainerView]) -> list[Row]:
    options = RowOptions(int(time.time() * 1000), {})
    sizes = (docker_size(each.writable_bytes) if each.HasField("writable_bytes") else "N/A" for each in found)
    return [{**container_row(each, options), "size": size} for each, size in zip(found, sizes, strict=True)]


def rows_of_volumes(volumes: Sequence[VolumeView]) -> list[Row]:
    """A row for each; of those of which no node has told the size, "N/A"."""
    return [
        {
            "volume_name": each.volume.spec.name,
            "links": len(each.services),
            "size": docker_size(volume_bytes(each))
            if any(where.HasField("used_bytes") for where in each.locations)
            else "N/A",
        }
        for each in volumes
    ]


def rows_of_builds(rows: Sequence[BuildCacheRow]) -> list[Row]:
    """A row for each thing that a node keeps of builds."""
    return [
        {
            "cache_id": each.id.removeprefix("sha256:")[:12],
            "node": each.node_id,
            "type": each.type,
            "size": docker_size(each.bytes),
            "in_use": each.in_use,
            "shared": each.shared,
        }
        for each in rows
    ]
