"""Append-only log of named records; the last record of a name wins.

All frames of a call are one write(2), and a change costs no more than that: no file is created or renamed, which on a
journaling file system takes a millisecond or more.
"""

import errno
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from agent.journal.frames import frame, frames, write_all
from agent.journal.record_copy import RecordCopy
from shoal.errors import Exhausted, Unavailable
from shoal.fault_points.injection import fault

REWRITE_BYTES = 1 << 20
"""A file below this size is not rewritten."""

REWRITE_FACTOR = 4
"""A file is rewritten once it is this many times as large as its live records."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_log = logging.getLogger(__name__)


class RecordLog:
    """Blocking. Call `load` first.

    Args:
        copy: read where the file has lost something.
    Raises (every method):
        Exhausted: the disk is full. Unavailable: the file cannot be written or read.
    """

    def __init__(self, path: Path, copy: RecordCopy | None = None) -> None:
        self._path = path
        self._copy = copy
        self._size = 0
        self._live = 0
        self._sizes: dict[str, int] = {}

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self._size

    def load(self) -> dict[str, bytes]:
        """All records. A file that is corrupt or gone is written anew, of its copy or without what is lost, which is
        logged."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            data = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise Unavailable(
                f"cannot read the journal {self._path}: {error.strerror}; make it readable, or move it away: "
                "the agent has a copy until the host reboots"
            ) from error
        found: dict[str, bytes | None] = {}
        self._size, self._live, self._sizes = 0, 0, {}
        for name, value, size in frames(data):
            self._account(name, value, size)
            found[name] = value
        if lost := len(data) - self._size:
            _log.warning("journal %s is corrupt (possibly after a power loss): %d bytes are lost", self._path, lost)
            self._size = len(data)
        live = {name: value for name, value in found.items() if value is not None}
        if (lost or not found) and (copied := self._copy.load() if self._copy is not None else {}):
            _log.warning("restoring %d records of the journal %s from its copy", len(copied), self._path)
            live = copied
            self._rewrite(live)
        elif lost:
            self._rewrite(live)
        elif self._copy is not None:
            self._copy.replace(live)
        return live

    def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Write these records, and remove those with None: all of them or, on an error, none."""
        if not changes:
            return
        pieces = {name: frame(name, value) for name, value in changes.items()}
        try:
            self._append(b"".join(pieces.values()))
            for name, piece in pieces.items():
                self._account(name, changes[name], len(piece))
            if self._copy is not None:
                self._copy.append(b"".join(pieces.values()))
        except OSError as error:
            kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
            raise kind(f"cannot write the journal {self._path}: {error.strerror}") from error
        if self._size > max(REWRITE_BYTES, REWRITE_FACTOR * self._live):
            self._compact()

    def _account(self, name: str, value: bytes | None, size: int) -> None:
        self._size += size
        self._live -= self._sizes.pop(name, 0)
        if value is not None:
            self._live += size
            self._sizes[name] = size

    def _append(self, data: bytes) -> None:
        descriptor = os.open(self._path, _FLAGS, 0o600)
        try:
            fault("agent.journal.opened")
            write_all(descriptor, data)
            fault("agent.journal.written")
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        finally:
            os.close(descriptor)

    def _compact(self) -> None:
        """Write the live records to a new file that replaces the old one. On failure the old one is kept."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            _log.warning("could not compact journal %s: %s", self._path, error.strerror)
            return
        self._rewrite({name: value for name, value, _ in frames(data) if name in self._sizes and value is not None})

    def _rewrite(self, live: Mapping[str, bytes]) -> None:
        draft = self._path.with_name(self._path.name + ".new")
        pieces = {name: frame(name, value) for name, value in live.items()}
        data = b"".join(pieces.values())
        try:
            descriptor = os.open(draft, _FLAGS | os.O_TRUNC, 0o600)
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            fault("agent.journal.rewritten")
            draft.replace(self._path)
            self._size = self._live = len(data)
            self._sizes = {name: len(piece) for name, piece in pieces.items()}
            fault("agent.journal.replaced")
        except OSError as error:
            draft.unlink(missing_ok=True)
            _log.warning("could not compact journal %s: %s", self._path, error.strerror)
        if self._copy is not None:
            self._copy.replace(live)
