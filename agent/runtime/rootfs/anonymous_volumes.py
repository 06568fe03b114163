"""Anonymous volumes: those that an image declares as VOLUME, and mounts of volumes without a name.

They are stored beside the container's upper directory, and removed with it. Each has a name made of its target, so that
the next run of a kept container finds it.
"""

import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.worker.interfaces import ContainerRequest, MountSource
from shoal.api.v1.container_pb2 import ContainerSpec, Mount


def with_anonymous_volumes(request: ContainerRequest, directory: Path) -> ContainerRequest:
    """The request with a volume for each of these; their directories are created, and populated like other volumes.

    Args:
        directory: for the container's anonymous volumes; need not exist.
    Raises:
        OSError: the disk fails.
    """
    spec = ContainerSpec()
    spec.CopyFrom(request.spec)
    spec.mounts.extend(Mount(type=Mount.VOLUME, target=target) for target in _declared(request))
    unnamed = [mount for mount in spec.mounts if mount.type == Mount.VOLUME and not mount.source]
    if not unnamed:
        return request
    volumes = dict(request.volumes)
    for mount in unnamed:
        data = directory / _name_of(mount.target) / "_data"
        data.mkdir(parents=True, exist_ok=True)
        volumes[mount.target] = MountSource(
            data=data, options={}, subpath="", populate=not mount.volume.no_copy, durable=not request.volatile
        )
    return replace(request, spec=spec, volumes=volumes)


def _name_of(target: str) -> str:
    return hashlib.sha256(posixpath.normpath(target).encode()).hexdigest()[:32]


def _declared(request: ContainerRequest) -> Iterator[str]:
    """Directories that the image declares and at which the spec has no mount."""
    mounted = {posixpath.normpath(mount.target) for mount in request.spec.mounts}
    for path in dict.fromkeys(posixpath.normpath(f"/{each}") for each in request.image.config.volumes):
        target = path.replace("//", "/", 1)  # POSIX allows a special meaning of two leading slashes
        if target not in mounted and target != "/":
            yield target
