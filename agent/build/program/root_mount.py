"""Mounts root file systems of a build, in its own mount namespace."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.build.program.results import Layers, Tree
from agent.build.program.workspace import Workspace
from agent.runtime.kernel.linux import unmount
from agent.runtime.rootfs.overlay_mount import mount_layers, mount_overlay


@contextmanager
def mounted_for_writing(lower: Sequence[Path], layer: Path) -> Iterator[Path]:
    """A root file system that is written to.

    Args:
        lower: the topmost first; at least one.
        layer: as `Workspace.new_layer` makes it; `u` has what is written.
    """
    root = layer / "root"
    mount_overlay(lower, layer, root)
    try:
        yield root
    finally:
        unmount(root)


@contextmanager
def mounted_for_reading(source: Layers | Tree, workspace: Workspace) -> Iterator[Path]:
    """The files of a result, to be read alone."""
    if isinstance(source, Tree):
        yield source.directory
        return
    root = workspace.new("read")
    mount_layers((*source.lower, workspace.empty, workspace.new("none")), root)
    try:
        yield root
    finally:
        unmount(root)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a directory, to find paths below it."""
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
