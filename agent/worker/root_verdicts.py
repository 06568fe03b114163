"""What is to be done with the root file system of a container. Pure.

This is people's data: it is deleted only when the history that knew the container says so. A cluster that was restored
from a backup does not know the containers that are younger, and then their absence means nothing: it has a new epoch
(restored from a snapshot of Shoal's), or a lower revision than when the container was made (from a backup of etcd's).
"""

from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum, auto

from agent.worker.root_origin import RootOrigin


class Verdict(Enum):
    """For one root file system."""

    KEEP = auto()
    CONFIRM = auto()
    """Managers know it, in another epoch than is recorded: record that."""
    DISOWN = auto()
    """Managers do not know it, and have not known it before: record that, so that it stays whatever revision comes."""
    ORPHAN = auto()
    """Managers of this epoch have never known it: only a user may remove it."""
    ABSENT = auto()
    """Managers have known it, and list it no more: delete it once they are known to be up to date."""
    DELETE = auto()
    """Managers have said that it is removed."""


@dataclass
class KnownContainers:
    """What the managers of this session have said.

    Attributes:
        epoch: of the snapshot; empty: a manager that names none, by whose lists nothing is deleted.
        revision: of the snapshot.
        kept: containers that are kept on this node.
        removed: those that were removed since the snapshot.
    """

    epoch: str = ""
    revision: int = 0
    kept: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)

    def verdict(self, container_id: str, origin: RootOrigin) -> Verdict:
        """For a container whose root file system is here."""
        if container_id in self.kept:
            return Verdict.CONFIRM if self.epoch and origin.epoch != self.epoch else Verdict.KEEP
        if container_id in self.removed:
            return Verdict.DELETE
        if not self.epoch:
            return Verdict.KEEP
        if origin.epoch != self.epoch:
            return Verdict.ORPHAN
        return Verdict.ABSENT if origin.revision <= self.revision else Verdict.DISOWN

    def update(self, *, kept: Set[str], removed: Set[str]) -> None:
        """An increment: these are kept, these no longer."""
        self.kept -= removed
        self.removed |= removed
        self.kept |= kept
        self.removed -= kept
