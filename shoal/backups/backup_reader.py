"""Reads a backup without trusting it: every length is bounded, and nothing counts before its digest was compared."""

import hashlib
import hmac
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shoal.backups.backup_header import (
    DIGEST_BYTES,
    LENGTH,
    LENGTHS,
    MAGIC,
    MAX_BLOCK_BYTES,
    MAX_HEADER_BYTES,
    MAX_RECORD_BYTES,
    BackupHeader,
    block_context,
    block_nonce,
    decoded_header,
    file_key,
)
from shoal.errors import InvalidInput


class BackupRecord(NamedTuple):
    """A record as it is in etcd."""

    key: bytes
    value: bytes


@dataclass(frozen=True)
class InspectedBackup:
    """A file whose digest is right.

    Attributes:
        sha256: hexadecimal, of the whole file but its last 32 bytes, which are this digest.
    """

    header: BackupHeader
    sha256: str
    size_bytes: int


def inspect_backup(file: BinaryIO) -> InspectedBackup:
    """Read the whole file and compare its digest. The cluster key is not needed.

    Raises:
        InvalidInput: it is no backup, of a newer format, incomplete or damaged. OSError: it cannot be read.
    """
    read = _HashedFile(file)
    header, _ = _header(read)
    for _ in _blocks(read):
        pass
    digest = read.finished()
    return InspectedBackup(header, digest.hex(), read.size)


def read_backup(file: BinaryIO, cluster_key: Callable[[BackupHeader], bytes]) -> Generator[BackupRecord]:
    """The records, one block in memory at a time. Use none of them before all were read once without an error.

    Args:
        cluster_key: the key that fits, or an error of its own.

    Raises:
        InvalidInput: as `inspect_backup`; or the key is another one, or the contents differ from the header.
        OSError: the file cannot be read.
    """
    read = _HashedFile(file)
    header, start = _header(read)
    cipher = AESGCM(file_key(cluster_key(header), header))
    found = 0
    # A block is decrypted once it is known whether another one follows.
    previous: bytes | None = None
    number = -1
    for number, sealed in enumerate(_blocks(read)):
        if previous is not None:
            for record in _records(_opened(cipher, previous, start, number - 1, last=False)):
                found += 1
                yield record
        previous = sealed
    if previous is None:
        raise InvalidInput("it has no contents")
    for record in _records(_opened(cipher, previous, start, number, last=True)):
        found += 1
        yield record
    read.finished()
    if found != header.records:
        raise InvalidInput(f"it contains {found} of {header.records} records")


class StreamedHeader:
    """Finds the header at the beginning of bytes that pass, and checks at their end that they were a whole backup.

    The digest is not looked for by its place: the last 32 bytes are compared with that of everything before them.
    """

    def __init__(self) -> None:
        self._start = bytearray()
        self._header: BackupHeader | None = None
        self._digest = hashlib.sha256()
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises InvalidInput: they are of no backup."""
        if self._header is None:
            self._start += data
            self._parse()
        passed = self._tail + data
        self._digest.update(passed[:-DIGEST_BYTES])
        self._tail = passed[-DIGEST_BYTES:]

    def finished(self) -> BackupHeader:
        """The header. Raises InvalidInput: what has passed is incomplete."""
        if self._header is None or not hmac.compare_digest(self._tail, self._digest.digest()):
            raise InvalidInput("the backup is incomplete or was damaged on its way; run the command again")
        return self._header

    def _parse(self) -> None:
        place = len(MAGIC) + LENGTH.size
        if len(self._start) < place:
            return
        (size,) = LENGTH.unpack_from(self._start, len(MAGIC))
        if not self._start.startswith(MAGIC) or size > MAX_HEADER_BYTES:
            raise InvalidInput("it is no backup of a cluster")
        if len(self._start) >= place + size:
            self._header = decoded_header(bytes(self._start[place : place + size]))
            self._start.clear()


def count_by(names: Iterator[str]) -> dict[str, int]:
    """How many there are of each, by name."""
    return dict(sorted(Counter(names).items()))


class _HashedFile:
    """Exact reads, with the digest of everything that was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        data = self._exactly(size)
        self._digest.update(data)
        return data

    def finished(self) -> bytes:
        """The digest, which is the rest of the file. Raises InvalidInput: it is not."""
        digest = self._digest.digest()
        if not hmac.compare_digest(self._exactly(DIGEST_BYTES), digest):
            raise InvalidInput("it is damaged: its checksum is another one")
        if self._file.read(1):
            raise InvalidInput("there is more after its end")
        return digest

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        self.size += len(data)
        if len(data) != size:
            raise InvalidInput("it is incomplete")
        return data


def _header(read: _HashedFile) -> tuple[BackupHeader, bytes]:
    """The header, and the bytes that it was parsed from."""
    try:
        magic = read.read(len(MAGIC))
    except InvalidInput:
        magic = b""
    if magic != MAGIC:
        raise InvalidInput("it is no backup of a cluster")
    length = read.read(LENGTH.size)
    (size,) = LENGTH.unpack(length)
    if size > MAX_HEADER_BYTES:
        raise InvalidInput("its header is not valid")
    text = read.read(size)
    return decoded_header(text), magic + length + text


def _blocks(read: _HashedFile) -> Iterator[bytes]:
    while size := LENGTH.unpack(read.read(LENGTH.size))[0]:
        if size > MAX_BLOCK_BYTES:
            raise InvalidInput("it is damaged: a block is too large")
        yield read.read(size)


def _opened(cipher: AESGCM, sealed: bytes, start: bytes, number: int, *, last: bool) -> bytes:
    try:
        packed = cipher.decrypt(block_nonce(number), sealed, block_context(start, number, last=last))
    except InvalidTag:
        raise InvalidInput(f"block {number} cannot be decrypted: it was changed, or blocks are missing") from None
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, MAX_BLOCK_BYTES)
    except zlib.error as error:
        raise InvalidInput(f"block {number} is not valid") from error
    if not stream.eof or stream.unused_data or stream.unconsumed_tail:
        raise InvalidInput(f"block {number} is too large or incomplete")
    return plain


def _records(plain: bytes) -> Iterator[BackupRecord]:
    place = 0
    while place < len(plain):
        if place + LENGTHS.size > len(plain):
            raise InvalidInput("a record is incomplete")
        key, value = LENGTHS.unpack_from(plain, place)
        place += LENGTHS.size
        if key + value > MAX_RECORD_BYTES or place + key + value > len(plain):
            raise InvalidInput("a record is incomplete")
        yield BackupRecord(plain[place : place + key], plain[place + key : place + key + value])
        place += key + value
