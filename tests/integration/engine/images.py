"""Images that tests with Docker's clients start: a server of Redis and a reaper, out of Debian's packages."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cli.images.pack import pack_image, pack_layer, write_archive
from shoal.distribution.manifests import host_platform
from tests.integration.cluster.debian_files import PYTHON, copy_programs, copy_python, lay_out

REDIS, REAPER = "redis:7", "testcontainers/ryuk:0.8.1"
_REAPER_PROGRAM = Path(__file__).with_name("reaper.py")


def write_redis_image(directory: Path) -> Path:
    """Write `redis.tar`, an OCI archive of the image `redis:7`."""

    def fill(root: Path) -> None:
        copy_programs(root, ["/usr/bin/redis-server", "/usr/bin/redis-cli", "/bin/sh"])

    settings = {
        "Cmd": ["redis-server", "--protected-mode", "no"],
        "Env": ["PATH=/usr/bin:/bin"],
        "ExposedPorts": {"6379/tcp": {}},
        "WorkingDir": "/data",
        "Volumes": {"/data": {}},
    }
    return _write(directory / "redis.tar", REDIS, fill, settings)


def write_reaper_image(directory: Path) -> Path:
    """Write `reaper.tar`, an OCI archive of the image that testcontainers starts beside its containers."""

    def fill(root: Path) -> None:
        copy_python(root, _REAPER_PROGRAM)

    settings = {"Cmd": [PYTHON, f"/{_REAPER_PROGRAM.name}"], "ExposedPorts": {"8080/tcp": {}}}
    return _write(directory / "reaper.tar", REAPER, fill, settings)


def _write(archive: Path, tag: str, fill: Callable[[Path], None], settings: Mapping[str, object]) -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_out(root)
        fill(root)
        image = pack_image([pack_layer(root, compression=1)], settings, host_platform())
    write_archive(archive, [image], tag=tag)
    return archive
