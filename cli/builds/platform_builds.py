"""Builds for several platforms: one after the other, each on a node of its platform, then an index with the names."""

from collections.abc import Sequence

import click

from cli.builds.build_call import LocalBuild
from cli.builds.build_report import BuildFiles, execute
from cli.builds.build_source import BuildSource
from cli.client import Client
from cli.render.build_progress.display import Mode
from shoal.api.v1.builds_pb2 import BuildResult, BuildStart, NameIndexRequest
from shoal.errors import InvalidInput

INDEX_SECONDS = 60.0


def check_platforms(start: BuildStart, source: BuildSource) -> None:
    """Raises InvalidInput: such a build cannot be for several platforms."""
    if source.stream is not None:
        raise InvalidInput("--platform: a context on standard input can be read once; build for each platform")
    if start.output != BuildStart.IMAGE:
        raise InvalidInput("--platform: several platforms make an image of the cluster; omit --output")
    if not start.names:
        raise InvalidInput("--platform: an image of several platforms needs a name; give it one with --tag")
    if start.push:
        raise InvalidInput("--push: cannot be combined with several platforms; use `shoal push` afterwards")


def build_platforms(
    client: Client, build: LocalBuild, platforms: Sequence[str], mode: Mode, files: BuildFiles, *, quiet: bool
) -> BuildResult:
    """Build them all, and name the index.

    Raises:
        As `execute`; what has been built before a failure is in the cache.
    """
    from shoal.api.v1.builds_pb2_grpc import BuildsStub

    names, digests = list(build.start.names), []
    build.start.ClearField("names")
    build.start.part_of_index = True
    for platform in platforms:
        build.start.platform = platform
        if mode is not Mode.QUIET:
            click.echo(f"building for {platform}", err=True)
        digests.append(execute(client, build, mode, None, BuildFiles()).digest)
    request = NameIndexRequest(digests=digests, names=names, media_types=build.start.media_types)
    result = client.call(BuildsStub(client.channel).NameIndex, request, seconds=INDEX_SECONDS)
    files.write(result)
    if quiet:
        click.echo(result.image_id)
    return result
