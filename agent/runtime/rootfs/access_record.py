"""What is needed to copy files of a kept container while it is not running, beside its volumes (`volume_record.py`)."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.runtime.rootfs.volume_record import RecordedVolume
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import ContainerSpec, Mount

_RECORD = "access.json"


@dataclass(frozen=True)
class AccessRecord:
    """Of a container.

    Attributes:
        user: of its program, "name[:group]", empty for root; None: it is not known.
        read_only: its root file system, though not its volumes.
        binds: files and directories of the host that it has.
    """

    user: str | None = None
    read_only: bool = False
    binds: tuple[RecordedVolume, ...] = ()


def write_access(root: Path, spec: ContainerSpec, image: Image) -> None:
    """Record it beside the container's root file system. Raises OSError."""
    record = AccessRecord(spec.user or image.config.user, spec.read_only, tuple(_binds(spec.mounts)))
    draft = root / f"{_RECORD}.half"
    draft.write_text(json.dumps(asdict(record)))
    draft.rename(root / _RECORD)


def read_access(root: Path) -> AccessRecord:
    """What was recorded; of containers that earlier agents made nothing is known."""
    try:
        stored = json.loads((root / _RECORD).read_bytes())
    except FileNotFoundError:
        return AccessRecord()
    binds = tuple(RecordedVolume(**each) for each in stored["binds"])
    return AccessRecord(stored["user"], stored["read_only"], binds)


def _binds(mounts: Iterable[Mount]) -> Iterable[RecordedVolume]:
    found = (mount for mount in mounts if mount.type == Mount.BIND)
    return (RecordedVolume(mount.target, mount.source, "", mount.read_only) for mount in found)
