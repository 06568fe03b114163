"""What vertices of a build have as results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.archives.known_content import KnownContent
from shoal.distribution.manifests import Descriptor


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        directory: as a lower directory of an overlay; None: it is in the cluster's image repository alone.
        created_at_ms: when it was made; 0: it is of an image.
        blob: as it is in the repository, as far as that is known.
        reference: of an image with this layer alone, in the repository.
        is_new: this build has made it.
    """

    diff_id: str
    directory: Path | None
    created_at_ms: int = 0
    blob: Descriptor | None = None
    reference: str = ""
    is_new: bool = False


@dataclass(frozen=True)
class Layers:
    """A root file system: its layers, the lowest first."""

    layers: tuple[Layer, ...] = ()

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(each.diff_id for each in self.layers)

    @property
    def lower(self) -> tuple[Path, ...]:
        """For an overlay: the topmost first. All of them have to be on this host."""
        directories = [each.directory for each in reversed(self.layers)]
        assert all(each is not None for each in directories)
        return tuple(each for each in directories if each is not None)

    def on_top(self, layer: Layer) -> "Layers":
        """These and one more."""
        return Layers((*self.layers, layer))


@dataclass(frozen=True)
class Tree:
    """The files of a context, in a directory that nothing writes to any more.

    Attributes:
        known: contents by inode number, where they were hashed as they came.
    """

    directory: Path
    known: Mapping[int, KnownContent] = field(default_factory=dict, repr=False, compare=False)


Result = Layers | Tree


def known_of(result: Result) -> Mapping[int, KnownContent]:
    """Contents of a result that need not be read, by inode number."""
    return result.known if isinstance(result, Tree) else {}
