"""Builds for several platforms that are pushed: the index, once it has its names, and no part before."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from cli.builds import platform_builds
from cli.builds.build_call import LocalBuild
from cli.builds.build_report import BuildFiles
from cli.builds.build_source import BuildSource
from cli.client import Client
from cli.images.cluster_repository import ClusterRepository
from cli.render.build_progress.display import Mode
from shoal.api.v1.builds_pb2 import BuildResult, BuildStart, NameIndexRequest
from shoal.distribution.registries import Registries
from shoal.image_reference import ImageReference

PART, INDEX = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
PLATFORMS = ("linux/amd64", "linux/arm64")


class ClientOfBuilds:
    """Stands in for a client: its manager names indexes, and has an image repository."""

    def __init__(self) -> None:
        self.channel = self.control = MagicMock()
        self.named: list[str] = []

    def call(self, method: object, request: object, **_: object) -> object:
        if isinstance(request, NameIndexRequest):
            self.named += request.names
            return BuildResult(digest=INDEX)
        return SimpleNamespace(image_repository="pool:5000/shoal/pool")


def test_the_index_is_pushed_once_it_has_its_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client, started, pushed = ClientOfBuilds(), list[BuildStart](), list[tuple[str, str, str, bool]]()

    def execute(_: Client, build: LocalBuild, *__: object) -> BuildResult:
        started.append(BuildStart.FromString(build.start.SerializeToString()))
        return BuildResult(digest=PART)

    async def push_image(
        cluster: ClusterRepository, digest: str, target: ImageReference, *_: object, **__: object
    ) -> None:
        pushed.append((cluster.name, digest, str(target), bool(client.named)))

    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(platform_builds, "execute", execute)
    monkeypatch.setattr("cli.images.cluster_images.push_image", push_image)
    names: Sequence[str] = ("r:5000/a:1", "r:5000/a:2")
    build = LocalBuild(BuildStart(names=names, push=names), BuildSource("Dockerfile", None), {}, {}, {})
    platform_builds.build_platforms(
        client,  # type: ignore[arg-type]  # it stands in
        build,
        PLATFORMS,
        Mode.QUIET,
        BuildFiles(),
        Registries(),
        quiet=True,
    )
    assert [(each.platform, each.part_of_index, [*each.names, *each.push]) for each in started] == [
        (platform, True, []) for platform in PLATFORMS
    ]
    assert client.named == [*names]
    assert pushed == [("pool:5000/shoal/pool", INDEX, name, True) for name in names]
