"""The directories of one build, all below one that the agent deletes when the build has ended."""

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.archives.disk_budget import DiskBudget


@dataclass
class Workspace:
    """Attributes:
    root: an empty directory on the disk of the image store.
    reserve_bytes: what stays free on that disk.
    """

    root: Path
    reserve_bytes: int
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.empty.mkdir(mode=0o755)
        self._disk = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def empty(self) -> Path:
        """A directory that nothing is ever in: the lowest layer where there is no other."""
        return self.root / "empty"

    def new(self, kind: str) -> Path:
        """A new directory."""
        path = self.root / f"{kind}-{next(self._numbers)}"
        path.mkdir(mode=0o700)
        return path

    def new_layer(self) -> Path:
        """A new directory with those of an overlay: `u`, `w`, and `root`, where it is mounted."""
        path = self.new("layer")
        for name in ("u", "w", "root"):
            (path / name).mkdir()
        path.joinpath("u").chmod(0o755)
        return path

    def budget(self) -> DiskBudget:
        """Counts what is written, and stops it before the disk is full."""
        return DiskBudget(self._disk, reserve_bytes=self.reserve_bytes)
