"""Volumes without a name: what an image declares as VOLUME, and mounts of volumes that name none.

They lie beside what the container writes, and go with it.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.worker.interfaces import ContainerRequest, MountSource
from shoal.api.v1.container_pb2 import ContainerSpec, Mount


def with_anonymous_volumes(request: ContainerRequest, directory: Path) -> ContainerRequest:
    """The request with a volume for each of these; their directories are made, and filled from the image as any other.

    Args:
        directory: of the container's own, which need not be there.
    Raises:
        OSError: the disk refuses.
    """
    spec = ContainerSpec()
    spec.CopyFrom(request.spec)
    spec.mounts.extend(Mount(type=Mount.VOLUME, target=target) for target in _declared(request))
    unnamed = [mount for mount in spec.mounts if mount.type == Mount.VOLUME and not mount.source]
    if not unnamed:
        return request
    volumes = dict(request.volumes)
    for place, mount in enumerate(unnamed):
        data = directory / str(place) / "_data"
        data.mkdir(parents=True)
        volumes[mount.target] = MountSource(
            data=data, options={}, subpath="", populate=not mount.volume.no_copy, durable=False
        )
    return replace(request, spec=spec, volumes=volumes)


def _declared(request: ContainerRequest) -> Iterator[str]:
    """Directories that the image declares and the spec mounts nothing at."""
    taken = {posixpath.normpath(mount.target) for mount in request.spec.mounts}
    for path in dict.fromkeys(posixpath.normpath(f"/{each}") for each in request.image.config.volumes):
        target = path.replace("//", "/", 1)  # POSIX lets two slashes at the beginning mean something else
        if target not in taken and target != "/":
            yield target
