"""Which volumes a kept container had at its last start, so that they can be mounted while it is stopped."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.worker.interfaces import ContainerRequest
from shoal.api.v1.container_pb2 import Mount

_RECORD = "volumes.json"


@dataclass(frozen=True)
class RecordedVolume:
    """A volume at one place of a container.

    Attributes:
        target: absolute, in the container.
        data: its directory on this host; empty if it has to be mounted by options.
        subpath: relative path of a directory in it; empty for the whole volume.
    """

    target: str
    data: str
    subpath: str
    read_only: bool


def write_volumes(root: Path, request: ContainerRequest) -> None:
    """Record the request's volumes, the anonymous ones included, beside the container's root file system."""
    read_only = {mount.target: mount.read_only for mount in request.spec.mounts if mount.type == Mount.VOLUME}
    volumes = [
        RecordedVolume(target, "" if source.options else str(source.data), source.subpath, read_only.get(target, False))
        for target, source in request.volumes.items()
    ]
    draft = root / f"{_RECORD}.half"
    draft.write_text(json.dumps([asdict(each) for each in volumes]))
    draft.rename(root / _RECORD)


def read_volumes(root: Path) -> list[RecordedVolume]:
    """Those of the last start, outer ones first; none if it was never started."""
    try:
        stored = json.loads((root / _RECORD).read_bytes())
    except FileNotFoundError:
        return []
    return sorted((RecordedVolume(**each) for each in stored), key=lambda each: each.target.count("/"))
