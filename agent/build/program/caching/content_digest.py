"""The digest of files that are copied or mounted: names, modes, owners, link targets and bytes; no times."""

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import Any

from agent.build.program.copying.copy_sources import Found

_PIECE = 1 << 20


@dataclass
class ContentDigest:
    """Attributes: with_owners, with_modes: whether these reach the result."""

    with_owners: bool = True
    with_modes: bool = True
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
            self._record(os.readlink("", dir_fd=found.descriptor))
        elif stat.S_ISREG(status.st_mode):
            self._record(status.st_size, *_capability(found.descriptor))
            self._add_content(found.descriptor)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            self._record(status.st_rdev)

    def hexdigest(self) -> str:
        """Of all that was added."""
        return str(self._hash.hexdigest())

    def _record(self, *values: object) -> None:
        for value in values:
            encoded = os.fsencode(value) if isinstance(value, str) else repr(value).encode()
            self._hash.update(len(encoded).to_bytes(4, "big") + encoded)

    def _add_content(self, descriptor: int) -> None:
        opened = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while piece := os.read(opened, _PIECE):
                self._hash.update(piece)
        finally:
            os.close(opened)


def _capability(descriptor: int) -> tuple[bytes, ...]:
    try:
        return (os.getxattr(f"/proc/self/fd/{descriptor}", "security.capability"),)
    except OSError:
        return ()
