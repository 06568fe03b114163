"""Vertices of a build. Two that are equal have the same result: nothing in them says where in the file they stand, and
they name their inputs by number, not by what the file calls them.
"""

from dataclasses import dataclass

from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.build_steps import CopyAction, DirectoryAction, RunAction


@dataclass(frozen=True, slots=True)
class ImageVertex:
    """The layers of an image."""

    source: ImageSource

    @property
    def inputs(self) -> tuple[int, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class ScratchVertex:
    """No layers."""

    @property
    def inputs(self) -> tuple[int, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class ContextVertex:
    """The files of a context; the main one has no name."""

    name: str = ""

    @property
    def inputs(self) -> tuple[int, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class RunVertex:
    """A command on top of its parent.

    Attributes:
        mounted: where the files of each of the action's mounts are from; None: from nowhere.
    """

    parent: int
    action: RunAction
    mounted: tuple[int | None, ...] = ()

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.parent, *(each for each in self.mounted if each is not None))


@dataclass(frozen=True, slots=True)
class CopyVertex:
    """Files of a source on top of a parent.

    Attributes:
        parent: None with `--link`: the layer is made on top of nothing, and a MergeVertex has it.
        source: of the action's paths; None if it has none.
    """

    parent: int | None
    action: CopyAction
    source: int | None = None

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(each for each in (self.parent, self.source) if each is not None)


@dataclass(frozen=True, slots=True)
class DirectoryVertex:
    """A directory that is made if it is missing."""

    parent: int
    action: DirectoryAction

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.parent,)


@dataclass(frozen=True, slots=True)
class MergeVertex:
    """The layers of a parent, and one that is independent of them."""

    parent: int
    layer: int

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.parent, self.layer)


@dataclass(frozen=True, slots=True)
class ConfigVertex:
    """An image: the layers of its parent with the configuration of a stage."""

    parent: int
    stage: int

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.parent,)


Vertex = (
    ImageVertex | ScratchVertex | ContextVertex | RunVertex | CopyVertex | DirectoryVertex | MergeVertex | ConfigVertex
)
KeyedVertex = RunVertex | CopyVertex | DirectoryVertex
"""Those that make a layer."""
