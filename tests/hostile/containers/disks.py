"""A file system in memory: of a size that can be used up, or quick where a test makes thousands of directories."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.runtime.kernel.linux import mount, unmount


@contextmanager
def memory_disk(directory: Path, size: str = "256m") -> Iterator[Path]:
    """Mounted at a directory, which is made, while the body runs."""
    directory.mkdir(exist_ok=True)
    mount("none", str(directory), "tmpfs", 0, f"size={size}")
    try:
        yield directory
    finally:
        unmount(directory)
