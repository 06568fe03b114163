"""The directory of the images: what lies where, written so that a crash leaves nothing half-made that counts.

blobs/sha256/<hex>      manifests, indexes and configurations, verified
partial/<hex>           compressed layers on their way, by where they come from; removed once they are unpacked
layers/<hex>/           unpacked layers by diff id: a lower directory for overlayfs
temporary/              removed at the next start
references.json         which reference led to which image
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from agent.images.kernel import flush_file_system
from agent.images.unpack import disk_error
from shoal.distribution.digests import DigestCheck
from shoal.errors import InvalidInput
from shoal.trees import delete_trees


class Content:
    """The files below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs"
        self._partial = directory / "partial"
        self._layers = directory / "layers"
        self._temporary = directory / "temporary"

    def open(self) -> None:
        """Make the directories and remove what a crash left.

        Raises:
            Unavailable: the directory cannot be used. Exhausted: the disk is full.
        """
        delete_trees(self._temporary)
        with self._writing():
            for each in (self._blobs, self._partial, self._layers, self._temporary):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def blob(self, digest: str) -> bytes | None:
        """A small blob, None where it is not here or not what it should be any more."""
        try:
            content = self._blob_path(digest).read_bytes()
            DigestCheck(digest).update(content).finish()
        except (FileNotFoundError, InvalidInput):
            return None
        return content

    def put_blob(self, digest: str, content: bytes) -> None:
        """Keep a small blob. Raises as `open` does."""
        self.write_file(self._blob_path(digest), content)

    def write_file(self, path: Path, content: bytes) -> None:
        """Replace a file as a whole, on the disk when this returns. Raises as `open` does."""
        temporary = self._temporary / f"{path.name}.new"
        with self._writing():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def partial(self, repository: str, digest: str, diff_id: str) -> Path:
        """Where a compressed layer is put together: a place of its own for each repository that it comes from and each
        diff id that an image claims for it, so that a wrong one spoils nobody else's download."""
        name = hashlib.sha256("\0".join((repository, digest, diff_id)).encode()).hexdigest()
        return self._partial / name

    def layer(self, diff_id: str) -> Path:
        """Where an unpacked layer is, or will be."""
        return self._layers / diff_id.replace(":", "-")

    def has_layer(self, diff_id: str) -> bool:
        """Whether it is unpacked, wholly."""
        return self.layer(diff_id).is_dir()

    def new_directory(self) -> Path:
        """An empty directory that does not outlive a crash. Raises as `open` does."""
        with self._writing():
            return Path(mkdtemp(dir=self._temporary))

    def keep_layer(self, directory: Path, diff_id: str) -> None:
        """Make a directory the unpacked layer, flushed before it has that name. Raises as `open` does."""
        with self._writing():
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                flush_file_system(fd)
            finally:
                os.close(fd)
            directory.rename(self.layer(diff_id))

    def condemn(self, directory: Path) -> Path:
        """Take a directory of ours out of its place; returns what `remove` has to remove. Raises as `open` does."""
        with self._writing():
            # No new directory for it: a full disk may have no room for one.
            doomed = self._temporary / f"doomed.{time.monotonic_ns()}"
            directory.rename(doomed)
            return doomed

    def remove(self, directory: Path) -> None:
        """Remove a directory that has no place any more; takes long for a large one. Raises Unavailable."""
        delete_trees(directory)

    def layers(self) -> frozenset[str]:
        """Diff ids of all unpacked layers. Raises as `open` does."""
        with self._writing():
            return frozenset(path.name.replace("-", ":", 1) for path in self._layers.iterdir())

    def forget_blobs(self, kept: frozenset[str]) -> None:
        """Remove all small blobs but these. Raises as `open` does."""
        paths = {self._blob_path(digest) for digest in kept}
        with self._writing():
            for path in self._blobs.glob("*/*"):
                if path not in paths:
                    path.unlink(missing_ok=True)

    def forget_partials(self, older_than: float) -> None:
        """Remove downloads that nobody has gone on with since a time in seconds since 1970. Raises as `open` does."""
        with self._writing():
            for path in self._partial.iterdir():
                with suppress(FileNotFoundError):  # its download has just come to its end
                    if path.stat().st_mtime < older_than:
                        path.unlink()

    def _blob_path(self, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self._blobs / algorithm / encoded

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(error, self.directory) from error
