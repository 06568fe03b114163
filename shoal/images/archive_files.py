"""Named files of a directory or of a tar archive, without ever leaving it."""

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path
from tarfile import LNKTYPE, SYMTYPE
from typing import BinaryIO, cast

from shoal.distribution.manifests import MAX_MANIFEST_BYTES
from shoal.errors import InvalidInput, NotFound
from shoal.images.tar_index import IndexedFile, NotTarError, link_target, read_index

_MAX_LINKS = 8


class ArchiveFiles(ABC):
    """Named files of a directory or an archive."""

    def __init__(self, source: Path) -> None:
        self.source = source

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A file to read and seek in. Raises NotFound."""

    def read(self, name: str) -> bytes:
        """A small file. Raises NotFound; InvalidInput where it is too large for what it is."""
        with self.open(name) as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
        if len(content) > MAX_MANIFEST_BYTES:
            raise InvalidInput(f"{self.source}: {name} is too large; the maximum is {MAX_MANIFEST_BYTES} bytes")
        return content

    def missing(self, name: str) -> NotFound:
        """The error for a file that is not there."""
        shown = name[:200].encode("utf-8", "replace").decode()
        return NotFound(f"{self.source}: {shown} is missing; the archive is incomplete")


class DirectoryFiles(ArchiveFiles):
    """Files of a directory. Links and names that lead out of it are missing."""

    def has(self, name: str) -> bool:
        path = self._path(name)
        return path is not None and path.is_file()

    def open(self, name: str) -> BinaryIO:
        path = self._path(name)
        try:
            if path is None or not path.is_file():
                raise self.missing(name)
            return path.open("rb")
        except OSError as error:
            raise self.missing(name) from error

    def _path(self, name: str) -> Path | None:
        try:
            root = self.source.resolve()
            path = (root / name).resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links; a zero character
            return None
        return path if path.is_relative_to(root) else None


class TarFiles(ArchiveFiles):
    """Files of an uncompressed tar archive; links inside it are followed.

    Args:
        archive: stays open; it is the caller's to close.
    Raises:
        InvalidInput: it is no tar archive, or one that is not supported.
    """

    def __init__(self, source: Path, archive: BinaryIO) -> None:
        super().__init__(source)
        self._archive = archive
        size = os.fstat(archive.fileno()).st_size
        try:
            self._entries = {each.name: each for each in read_index(archive, size)}
        except NotTarError as error:
            raise InvalidInput(
                f"{source}: neither an OCI layout directory nor a tar archive of an image: unknown archive format"
            ) from error
        except InvalidInput as error:
            raise InvalidInput(f"{source}: {error}") from error

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def open(self, name: str) -> BinaryIO:
        entry = self._find(name)
        if entry is None:
            raise self.missing(name)
        return cast(BinaryIO, io.BufferedReader(Part(self._archive.fileno(), entry.offset, entry.size), 1 << 20))

    def _find(self, name: str) -> IndexedFile | None:
        entry = self._entries.get(name)
        for _ in range(_MAX_LINKS):
            if entry is None or entry.kind not in (LNKTYPE, SYMTYPE):
                break
            entry = self._entries.get(link_target(entry))
        return entry if entry is not None and entry.is_regular else None


class Part(io.RawIOBase):
    """Bytes of a file; several may be read at once, also in threads."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        length = min(len(buffer), max(0, self._size - self._position))
        content = os.pread(self._fd, length, self._offset + self._position)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
