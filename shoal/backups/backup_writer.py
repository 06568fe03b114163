"""Encodes a backup piece by piece; at most one block is in memory."""

import hashlib
import zlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shoal.backups.backup_header import (
    BLOCK_BYTES,
    LENGTH,
    LENGTHS,
    BackupHeader,
    block_context,
    block_nonce,
    file_key,
)

COMPRESSION_LEVEL = 6


class BackupWriter:
    """The bytes of one file, in order: `begin`, `add` for each record with `block` whenever it is full, `finish`.

    Args:
        cluster_key: 32 bytes, of which the header names the id.
    """

    def __init__(self, header: BackupHeader, cluster_key: bytes) -> None:
        self._start = header.encoded()
        self._cipher = AESGCM(file_key(cluster_key, header))
        self._digest = hashlib.sha256()
        self._number = 0
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def is_full(self) -> bool:
        """A block is to be made before more records are added."""
        return self._size >= BLOCK_BYTES

    def begin(self) -> bytes:
        return self._hashed(self._start)

    def add(self, key: bytes, value: bytes) -> None:
        self._parts += (LENGTHS.pack(len(key), len(value)), key, value)
        self._size += LENGTHS.size + len(key) + len(value)

    def block(self) -> bytes:
        """The records that were added since the last block. Takes some 10 ms, and may run in a thread."""
        return self._sealed(last=False)

    def finish(self) -> bytes:
        """The last block and the end of the file."""
        end = self._sealed(last=True) + self._hashed(LENGTH.pack(0))
        return end + self._digest.digest()

    def _sealed(self, *, last: bool) -> bytes:
        plain = zlib.compress(b"".join(self._parts), COMPRESSION_LEVEL)
        context = block_context(self._start, self._number, last=last)
        sealed = self._cipher.encrypt(block_nonce(self._number), plain, context)
        self._parts, self._size = [], 0
        self._number += 1
        return self._hashed(LENGTH.pack(len(sealed)) + sealed)

    def _hashed(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data
