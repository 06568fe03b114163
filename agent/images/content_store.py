"""The image store's directory and its layout; files become valid only when they are complete, also across a crash.

blobs/sha256/<hex>      manifests, indexes and configurations, verified
partial/<hex>           partial downloads of compressed layers, by their source; removed once they are unpacked
layers/<hex>/           unpacked layers by diff id: a lower directory for overlayfs
temporary/              removed at the next start
references.json         which image each reference resolved to
"""

import errno
import hashlib
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from agent.images.disk_guard import disk_error
from agent.safe_paths.system_calls import sync_file_system
from shoal.distribution.digests import DigestCheck
from shoal.errors import InvalidInput, Unavailable
from shoal.fault_points.injection import fault
from shoal.tree_removal import delete_trees

_LAYER, _DISCARDED = "layer", "discarded"
_log = logging.getLogger(__name__)


class ContentStore:
    """The files below one directory. `temporary` is for what does not outlive a crash."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs"
        self._partial = directory / "partial"
        self._layers = directory / "layers"
        self.temporary = directory / "temporary"

    def open(self) -> None:
        """Make the directories and remove what a crash left, as far as it can be.

        Raises:
            Unavailable: the directory cannot be used. Exhausted: the disk is full.
        """
        try:
            delete_trees(self.temporary)
        except Unavailable as error:
            _log.warning("could not delete all temporary files of images: %s", error)
        with self._disk_errors():
            for each in (self._blobs, self._partial, self._layers, self.temporary):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read_blob(self, digest: str) -> bytes | None:
        """A small blob; None if it is missing or corrupt."""
        try:
            content = self._blob_path(digest).read_bytes()
            DigestCheck(digest).update(content).finish()
        except (FileNotFoundError, InvalidInput):
            return None
        return content

    def write_blob(self, digest: str, content: bytes) -> None:
        """Store a small blob. Raises as `open` does."""
        self.write_file(self._blob_path(digest), content)

    def write_file(self, path: Path, content: bytes) -> None:
        """Replace a file as a whole, on the disk when this returns. Raises as `open` does."""
        temporary = self.temporary / f"{path.name}.new"
        with self._disk_errors():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                fault("agent.images.file-written")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def partial(self, domain: str, digest: str, diff_id: str) -> Path:
        """Path of a partial download.

        One for each registry, and for each diff id that an image claims for the layer, so that a wrong claim cannot
        corrupt another image's download.
        """
        name = hashlib.sha256("\0".join((domain, digest, diff_id)).encode()).hexdigest()
        return self._partial / name

    def layer(self, diff_id: str) -> Path:
        """Where an unpacked layer is, or will be."""
        return self._layers / diff_id.replace(":", "-")

    def has_layer(self, diff_id: str) -> bool:
        """Whether it is completely unpacked."""
        return self.layer(diff_id).is_dir()

    def new_layer(self) -> Path:
        """A directory that does not outlive a crash, with the empty directories `layer`, and `discarded` for what the
        layer itself replaces. Raises as `open` does."""
        with self._disk_errors():
            directory = Path(mkdtemp(dir=self.temporary))
            for name in (_LAYER, _DISCARDED):
                (directory / name).mkdir()
            return directory

    def commit_layer(self, directory: Path, diff_id: str) -> None:
        """Flush an unpacked layer to disk and rename it into place, unless it exists. Raises as `open` does."""
        with self._disk_errors():
            fd = os.open(directory / _LAYER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sync_file_system(fd)
            finally:
                os.close(fd)
            fault("agent.unpack.flushed")
            try:
                (directory / _LAYER).rename(self.layer(diff_id))
                fault("agent.unpack.in-place")
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise

    def adopt_layers(self, layers: Mapping[str, Path]) -> None:
        """As `commit_layer`, for several directories by diff id: flushed together. A link is left in place of each.

        Raises as `open` does.
        """
        if not layers:
            return
        with self._disk_errors():
            fd = os.open(self._layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sync_file_system(fd)
            finally:
                os.close(fd)
            for diff_id, directory in layers.items():
                if not self.has_layer(diff_id):
                    directory.rename(self.layer(diff_id))
                    fault("agent.build.layer-moved")
                    directory.symlink_to(self.layer(diff_id).absolute())

    def remove_new_layer(self, directory: Path) -> None:
        """Remove a new layer's directory with what is left in it. Raises Unavailable."""
        with suppress(OSError):  # it is usually empty now, and no program is needed to delete it
            (directory / _DISCARDED).rmdir()
            directory.rmdir()
            return
        self.remove(directory)

    def move_aside(self, directory: Path) -> Path:
        """Rename a directory of the store out of the way; returns the path to `remove`. Raises as `open` does."""
        with self._disk_errors():
            # No new directory for it: a full disk may have no room for one.
            doomed = self.temporary / f"doomed.{time.monotonic_ns()}"
            directory.rename(doomed)
            return doomed

    def remove(self, directory: Path) -> None:
        """Remove a directory; slow for a large one. Raises Unavailable."""
        delete_trees(directory)

    def layers(self) -> frozenset[str]:
        """Diff ids of all unpacked layers. Raises as `open` does."""
        with self._disk_errors():
            return frozenset(path.name.replace("-", ":", 1) for path in self._layers.iterdir())

    def delete_blobs_except(self, keep: frozenset[str]) -> None:
        """Remove all small blobs but these. Raises as `open` does."""
        paths = {self._blob_path(digest) for digest in keep}
        with self._disk_errors():
            for path in self._blobs.glob("*/*"):
                if path not in paths:
                    path.unlink(missing_ok=True)

    def delete_partials(self, older_than: float, keep: Collection[Path] = ()) -> None:
        """Remove partial downloads that were last written before a time (seconds since 1970), except those in `keep`.

        Raises as `open` does.
        """
        with self._disk_errors():
            for path in self._partial.iterdir():
                if path in keep:
                    continue
                with suppress(FileNotFoundError):  # its download has just finished
                    if path.stat().st_mtime < older_than:
                        path.unlink()

    def _blob_path(self, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self._blobs / algorithm / encoded

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(error, self.directory) from error
