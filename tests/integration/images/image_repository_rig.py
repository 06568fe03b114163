"""A source registry, the cluster's, and the image repository between them; archives to load."""

import io
import json
import tarfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cli.images.pack import PackedImage, write_archive
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.image_reference import parse
from shoal.images.archive_writer import SavedImage
from shoal.images.archive_writer import write_archive as save_archive
from shoal.images.image_repository import ImageRepository
from shoal.images.progress import LayerProgress, LayerState
from tests.integration.images.rig import (
    AMD64,
    QUICK,
    entry,
    image_of,
    layer_of,
)
from tests.integration.registry_fixture import running_registry

ARM64 = Platform("linux", "arm64", "v8")


class Recorder:
    """Keeps progress."""

    def __init__(self) -> None:
        self.steps: list[LayerProgress] = []

    def __call__(self, step: LayerProgress) -> None:
        self.steps.append(step)

    def count(self, state: LayerState) -> int:
        """How many layers ended so."""
        return sum(each.state == state for each in self.steps)


def nothing(_: LayerProgress) -> None:
    """For progress that a test does not look at."""


@asynccontextmanager
async def rig(directory: Path) -> AsyncGenerator[tuple[int, int, Distribution, ImageRepository]]:
    """Ports of a source registry and of the cluster's, and the cluster's image repository."""
    async with (
        running_registry(directory / "source") as source,
        running_registry(directory / "cluster") as cluster,
        Distribution(Registries(), policy=QUICK) as distribution,
    ):
        yield source.port, cluster.port, distribution, ImageRepository(distribution, f"127.0.0.1:{cluster.port}")


def two_platforms(path: Path) -> list[PackedImage]:
    """An archive of an index; returns its images."""
    images = [image_of(layer_of(entry("which", str(each).encode())), platform=each) for each in (AMD64, ARM64)]
    write_archive(path, images, tag="1")
    return images


async def pull(
    distribution: Distribution, repository: ImageRepository, name: str, recorder: Recorder | None = None
) -> Image:
    """Pull a name."""
    reference = parse(name)
    return await repository.pull(distribution.repository(reference), reference, recorder or Recorder())


async def save(repository: ImageRepository, images: Sequence[SavedImage], path: Path) -> None:
    """Save into a file."""
    with path.open("wb") as file:
        async for piece in save_archive(repository.repository, images, nothing):
            file.write(piece)


def docker_archive(path: Path, layers: Sequence[bytes], tags: Sequence[str]) -> str:
    """What `docker save` before version 25 writes; returns the digest of the configuration."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
        }
    ).encode()
    files = {f"{digest_of(each)[7:]}/layer.tar": each for each in layers}
    listing = [{"Config": "c.json", "RepoTags": list(tags), "Layers": list(files)}]
    with tarfile.open(path, "w") as tar:
        for name, content in {**files, "c.json": config, "manifest.json": json.dumps(listing).encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return digest_of(config)
