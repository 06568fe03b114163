"""Append-only log of named records; the last record of a name wins.

A frame is a checksum (CRC-32 of all that follows), the value's length, the name's length, the name, the value; a
value's length of 2^32 - 1 says that the record is removed. All frames of a call are one write(2), and a change costs no
more than that: no file is created or renamed, which on a journaling file system takes a millisecond or more.
"""

import errno
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from shoal.errors import Exhausted, Unavailable
from shoal.fault_points.injection import fault

REWRITE_BYTES = 1 << 20
"""A file below this size is not rewritten."""

REWRITE_FACTOR = 4
"""A file is rewritten once it is this many times as large as its live records."""

_CHECKSUM = struct.Struct(">I")
_LENGTHS = struct.Struct(">IH")
_HEAD = _CHECKSUM.size + _LENGTHS.size
_REMOVED = 0xFFFF_FFFF
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_log = logging.getLogger(__name__)


def frame(name: str, value: bytes | None) -> bytes:
    """One record; None removes it."""
    key = name.encode()
    rest = _LENGTHS.pack(_REMOVED if value is None else len(value), len(key)) + key + (value or b"")
    return _CHECKSUM.pack(zlib.crc32(rest)) + rest


def frames(data: bytes) -> Iterator[tuple[str, bytes | None, int]]:
    """Name, value and size of each whole frame, in order; what is damaged between them is left out."""
    at = 0
    while at + _HEAD <= len(data):
        found = _frame_at(data, at)
        if found is None:
            at += 1
        else:
            yield found
            at += found[2]


def _frame_at(data: bytes, at: int) -> tuple[str, bytes | None, int] | None:
    (checksum,) = _CHECKSUM.unpack_from(data, at)
    length, key_length = _LENGTHS.unpack_from(data, at + _CHECKSUM.size)
    key_end = at + _HEAD + key_length
    end = key_end if length == _REMOVED else key_end + length
    # Zeros, which a power loss may leave, have a valid checksum but no name.
    if not key_length or end > len(data) or zlib.crc32(memoryview(data)[at + _CHECKSUM.size : end]) != checksum:
        return None
    return data[at + _HEAD : key_end].decode(), None if length == _REMOVED else data[key_end:end], end - at


class RecordLog:
    """Blocking. Call `load` first.

    Raises (every method):
        Exhausted: the disk is full. Unavailable: the file cannot be written or read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._live = 0
        self._sizes: dict[str, int] = {}

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self._size

    def load(self) -> dict[str, bytes]:
        """All records. Without the corrupt ones the file is written anew, which is logged."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            data = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise Unavailable(
                f"cannot read the journal {self._path}: {error.strerror}; make it readable, or move it away: "
                "then the containers of this node are replaced"
            ) from error
        found: dict[str, bytes | None] = {}
        self._size, self._live, self._sizes = 0, 0, {}
        for name, value, size in frames(data):
            self._account(name, value, size)
            found[name] = value
        if lost := len(data) - self._size:
            _log.warning("journal %s is corrupt (possibly after a power loss): %d bytes are lost", self._path, lost)
            self._size = len(data)
            self._compact()
        return {name: value for name, value in found.items() if value is not None}

    def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Write these records, and remove those with None: all of them or, on an error, none."""
        if not changes:
            return
        pieces = {name: frame(name, value) for name, value in changes.items()}
        try:
            self._append(b"".join(pieces.values()))
            for name, piece in pieces.items():
                self._account(name, changes[name], len(piece))
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
            _write_all(descriptor, data)
            fault("agent.journal.written")
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        finally:
            os.close(descriptor)

    def _compact(self) -> None:
        """Write the live records to a new file that replaces the old one. On failure the old one is kept."""
        draft = self._path.with_name(self._path.name + ".new")
        try:
            live = {name: value for name, value, _ in frames(self._path.read_bytes()) if name in self._sizes}
            data = b"".join(frame(name, value) for name, value in live.items())
            descriptor = os.open(draft, _FLAGS | os.O_TRUNC, 0o600)
            try:
                _write_all(descriptor, data)
            finally:
                os.close(descriptor)
            fault("agent.journal.rewritten")
            draft.replace(self._path)
            self._size = len(data)
            fault("agent.journal.replaced")
        except OSError as error:
            draft.unlink(missing_ok=True)
            _log.warning("could not compact journal %s: %s", self._path, error.strerror)


def _write_all(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
