"""What vertices of a build have as results."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layer:
    """One layer on this host.

    Attributes:
        directory: as a lower directory of an overlay.
        created_at_ms: when it was made; 0: it is of an image.
    """

    diff_id: str
    directory: Path
    created_at_ms: int = 0


@dataclass(frozen=True)
class Layers:
    """A root file system: its layers, the lowest first."""

    layers: tuple[Layer, ...] = ()

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(each.diff_id for each in self.layers)

    @property
    def lower(self) -> tuple[Path, ...]:
        """For an overlay: the topmost first."""
        return tuple(each.directory for each in reversed(self.layers))

    def on_top(self, layer: Layer) -> "Layers":
        """These and one more."""
        return Layers((*self.layers, layer))


@dataclass(frozen=True)
class Tree:
    """The files of a context, in a directory that nothing writes to any more."""

    directory: Path


Result = Layers | Tree
