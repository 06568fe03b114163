"""The digest of files that are copied or mounted: names, modes, owners, link targets and bytes; no times."""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.archives.known_content import KnownContent
from agent.build.program.copying.copy_sources import Found

_PIECE = 1 << 20


@dataclass
class ContentDigest:
    """Attributes:
    with_owners, with_modes: whether these reach the result.
    known: contents of files that are not read for it, by inode number; of one file system.
    """

    with_owners: bool = True
    with_modes: bool = True
    known: Mapping[int, KnownContent] = field(default_factory=dict)
    _hash: Any = field(default_factory=hashlib.sha256)

    def add_source(self, name: str, is_directory: bool) -> None:
        """The next source, as it is placed: the name of a directory does not matter."""
        self._record("source", "" if is_directory else name)

    def add(self, found: Found) -> None:
        """One file or directory of a source. Blocking. Raises OSError."""
        status = found.status
        mode = stat.S_IMODE(status.st_mode) if self.with_modes else 0
        owner = (status.st_uid, status.st_gid) if self.with_owners else (0, 0)
        kind = stat.S_IFMT(status.st_mode)
        self._record(found.path, kind, mode, *owner)
        if stat.S_ISLNK(status.st_mode):
            self._record(found.link_target())
        elif stat.S_ISREG(status.st_mode):
            self._add_content(found)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            self._record(status.st_rdev)

    def hexdigest(self) -> str:
        """Of all that was added."""
        return str(self._hash.hexdigest())

    def _record(self, *values: object) -> None:
        for value in values:
            encoded = os.fsencode(value) if isinstance(value, str) else repr(value).encode()
            self._hash.update(len(encoded).to_bytes(4, "big") + encoded)

    def _add_content(self, found: Found) -> None:
        known = self.known.get(found.status.st_ino)
        if known is not None and known.size == found.status.st_size:
            self._record(found.status.st_size, known.digest, *known.capability)
            return
        descriptor, content = found.open(), hashlib.sha256()
        try:
            while piece := os.read(descriptor, _PIECE):
                content.update(piece)
            self._record(found.status.st_size, content.digest(), *_capability(descriptor))
        finally:
            os.close(descriptor)


def _capability(descriptor: int) -> tuple[bytes, ...]:
    try:
        return (os.getxattr(descriptor, "security.capability"),)
    except OSError:
        return ()
