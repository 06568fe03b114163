"""A tree of directories as a program in a container may make it: deeper than functions that call themselves can go."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.tree_removal import delete_trees

DEPTH = 3000
"""Python stops at a thousand calls in each other, and the kernel takes no path of more than 4,096 bytes."""


@contextmanager
def deep_tree(top: Path) -> Iterator[Path]:
    """Directories in each other below `top`, a file in the innermost; at the end `top` is gone in any case."""
    top.mkdir(parents=True)
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(DEPTH):
            os.mkdir("dd", dir_fd=at)
            inner = os.open("dd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
        yield top
    finally:
        os.close(at)
        delete_trees(top)
