"""Builds for several platforms: one after the other, each on a node of its platform, then an index with the names."""

import asyncio
import os
from collections.abc import Sequence

import click

from cli.builds.build_call import LocalBuild
from cli.builds.build_report import BuildFiles, execute
from cli.builds.build_source import BuildSource
from cli.client import Client
from cli.images.cluster_repository import ClusterRepository
from cli.render.build_progress.display import Mode
from shoal.api.v1.builds_pb2 import BuildResult, BuildStart, NameIndexRequest
from shoal.api.v1.control_pb2 import GetClusterRequest
from shoal.distribution.registries import Registries
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.images.progress import LayerProgress
from shoal.registry_logins.docker_config import DockerConfig, config_path
from shoal.registry_logins.with_logins import with_logins

INDEX_SECONDS = 60.0


def check_platforms(start: BuildStart, source: BuildSource) -> None:
    """Raises InvalidInput: such a build cannot be for several platforms."""
    if source.stream is not None:
        raise InvalidInput("--platform: a context on standard input can be read once; build for each platform")
    if start.output != BuildStart.IMAGE:
        raise InvalidInput("--platform: several platforms make an image of the cluster; omit --output")
    if not start.names:
        raise InvalidInput("--platform: an image of several platforms needs a name; give it one with --tag")


def build_platforms(
    client: Client,
    build: LocalBuild,
    platforms: Sequence[str],
    mode: Mode,
    files: BuildFiles,
    registries: Registries,
    *,
    quiet: bool,
) -> BuildResult:
    """Build them all, name the index, and push it where that is asked for.

    Args:
        registries: that it is pushed to.
    Raises:
        As `execute`; what has been built before a failure is in the cache.
    """
    from shoal.api.v1.builds_pb2_grpc import BuildsStub

    names, pushed, digests = list(build.start.names), list(build.start.push), []
    build.start.ClearField("names")
    build.start.ClearField("push")
    build.start.part_of_index = True
    for platform in platforms:
        build.start.platform = platform
        if mode is not Mode.QUIET:
            click.echo(f"building for {platform}", err=True)
        digests.append(execute(client, build, mode, None, BuildFiles()).digest)
    request = NameIndexRequest(digests=digests, names=names, media_types=build.start.media_types)
    result = client.call(BuildsStub(client.channel).NameIndex, request, seconds=INDEX_SECONDS)
    if pushed:
        push_index(client, result.digest, pushed, registries)
    files.write(result)
    if quiet:
        click.echo(result.image_id)
    return result


def push_index(client: Client, digest: str, names: Sequence[str], registries: Registries) -> None:
    """Copy an image of the cluster's repository with all its platforms under names elsewhere.

    Raises:
        NotFound, Unavailable, Unauthenticated, PermissionDenied: as registries answer.
    """
    from cli.images.cluster_images import push_image

    repository = client.call(client.control.GetCluster, GetClusterRequest()).image_repository
    references = [parse(each) for each in names]
    domains = [each.domain for each in (*references, parse(repository))]
    known = with_logins(registries, domains, DockerConfig(config_path(os.environ)))
    for reference in references:
        work = push_image(ClusterRepository(repository, known), digest, reference, _ignore, platform=None)
        asyncio.run(work)
        click.echo(f"pushed {reference}", err=True)


def _ignore(_: LayerProgress) -> None:
    return None
