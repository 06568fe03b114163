"""Anonymous volumes: those that an image declares as VOLUME, and mounts of volumes without a name.

They are stored beside the container's upper directory, and removed with it. Each has a name made of its target, so that
the next run of a kept container finds it.
"""

import hashlib
import posixpath
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image, MountSource
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
    spec.mounts.extend(Mount(type=Mount.VOLUME, target=target) for target in _declared(spec.mounts, request.image))
    made = anonymous_volumes(request.spec.mounts, request.image, directory, durable=not request.volatile)
    return replace(request, spec=spec, volumes={**request.volumes, **made}) if made else request


def anonymous_volumes(
    mounts: Collection[Mount], image: Image, directory: Path, *, durable: bool
) -> dict[str, MountSource]:
    """These volumes by target; their directories are created. Arguments and errors as of `with_anonymous_volumes`.

    Args:
        mounts: of the container's spec.
        durable: they outlive a crash of the host.
    """
    unnamed = [mount for mount in mounts if mount.type == Mount.VOLUME and not mount.source]
    unnamed += [Mount(type=Mount.VOLUME, target=target) for target in _declared(mounts, image)]
    volumes = {}
    for mount in unnamed:
        data = directory / _name_of(mount.target) / "_data"
        data.mkdir(parents=True, exist_ok=True)
        volumes[mount.target] = MountSource(
            data=data, options={}, subpath="", populate=not mount.volume.no_copy, durable=durable
        )
    return volumes


def _name_of(target: str) -> str:
    return hashlib.sha256(posixpath.normpath(target).encode()).hexdigest()[:32]


def _declared(mounts: Iterable[Mount], image: Image) -> Iterator[str]:
    """Directories that the image declares and at which the spec has no mount."""
    mounted = {posixpath.normpath(mount.target) for mount in mounts}
    for path in dict.fromkeys(posixpath.normpath(f"/{each}") for each in image.config.volumes):
        target = path.replace("//", "/", 1)  # POSIX allows a special meaning of two leading slashes
        if target not in mounted and target != "/":
            yield target
