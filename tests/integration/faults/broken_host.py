"""What breaks on a host, and is mended again: a runtime, a file system, a journal."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_WRAPPER = """#!/bin/bash
case "$(cat {mode})" in
fails) [[ " $* " == *" create "* ]] && {{ echo "cannot create cgroup: Device or resource busy" >&2; exit 1; }};;
hangs) [[ " $* " == *" create "* ]] && exec -a crun python3 -c "import time; time.sleep(1000)" "$@";;
esac
exec /usr/bin/crun "$@"
"""


class WrappedRuntime:
    """A directory for PATH with a `crun` that fails or hangs, as a file says.

    Attributes:
        directory: with the program.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self._mode = directory / "mode"
        self.behave("works")
        program = directory / "crun"
        program.write_text(_WRAPPER.format(mode=self._mode))
        program.chmod(0o755)

    def behave(self, mode: str) -> None:
        """From now on: "works", "fails" or "hangs" at `create`."""
        draft = self._mode.with_name("mode.new")
        draft.write_text(mode)
        draft.replace(self._mode)


@contextmanager
def small_disk(directory: Path, options: str) -> Iterator[None]:
    """A tmpfs in place of a directory, with what is in it; at the end its content is there again.

    Args:
        options: as of mount(8), "size=1m,nr_inodes=40".
    """
    content = {path.name: path.read_bytes() for path in directory.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
    try:
        for name, data in content.items():
            (directory / name).write_bytes(data)
        yield
        content = {path.name: path.read_bytes() for path in directory.iterdir()}
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
    for name, data in content.items():
        (directory / name).write_bytes(data)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """A directory that cannot be written, whoever tries."""
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def filled(directory: Path) -> Path:
    """A file that takes all that is left of a small disk."""
    path = directory / "filler"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        with suppress(OSError):
            while True:
                os.write(descriptor, bytes(4096))
    finally:
        os.close(descriptor)
    return path
