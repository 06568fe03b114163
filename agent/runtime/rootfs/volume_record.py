"""Which volumes a kept container has, so that they can be mounted while it is not running."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.worker.interfaces import MountSource
from shoal.api.v1.container_pb2 import Mount

_RECORD = "volumes.json"


@dataclass(frozen=True)
class RecordedVolume:
    """A volume at one place of a container.

    Attributes:
        target: absolute, in the container.
        data: its directory on this host; empty if it has to be mounted by options.
        subpath: relative path of a directory in it; empty for the whole volume.
        populate: if it is empty, it gets the image's files at the target before its first use.
    """

    target: str
    data: str
    subpath: str
    read_only: bool
    populate: bool = False


def write_volumes(root: Path, mounts: Iterable[Mount], volumes: Mapping[str, MountSource]) -> None:
    """Record volumes by target, the anonymous ones included, beside the container's root file system."""
    read_only = {mount.target: mount.read_only for mount in mounts if mount.type == Mount.VOLUME}
    recorded = [
        RecordedVolume(
            target,
            "" if source.options else str(source.data),
            source.subpath,
            read_only.get(target, False),
            source.populate,
        )
        for target, source in volumes.items()
    ]
    draft = root / f"{_RECORD}.half"
    draft.write_text(json.dumps([asdict(each) for each in recorded]))
    draft.rename(root / _RECORD)


def read_volumes(root: Path) -> list[RecordedVolume]:
    """The recorded ones, outer ones first; none if nothing was recorded yet."""
    try:
        stored = json.loads((root / _RECORD).read_bytes())
    except FileNotFoundError:
        return []
    return sorted((RecordedVolume(**each) for each in stored), key=lambda each: each.target.count("/"))
