"""The header of a backup, which can be read without the cluster key, and the keys that a backup is encrypted with.

A file is `MAGIC`, the header's length (4 bytes, network order) and the header (JSON); then the blocks, each with its
length before it and a length of 0 after the last; then the SHA-256 of everything before it. A block is AES-256-GCM over
zlib over records: lengths of key and value (4 bytes each), key, value. The header's digest, the block's number and
whether it is the last one are authenticated with it, so that none can be left out, moved or put into another file.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shoal.errors import InvalidInput

MAGIC = b"SHOAL BACKUP\n"
FORMAT = 1
LENGTH = struct.Struct("!I")
LENGTHS = struct.Struct("!II")
DIGEST_BYTES = 32
MAX_HEADER_BYTES = 64 << 10
BLOCK_BYTES = 512 << 10
"""Of records in a block, before compression; the last record may exceed it."""
MAX_RECORD_BYTES = 16 << 20
"""Of one key and its value; etcd accepts less."""
MAX_BLOCK_BYTES = BLOCK_BYTES + MAX_RECORD_BYTES
SALT_BYTES = 32


@dataclass(frozen=True)
class BackupHeader:
    """What a backup is of.

    Attributes:
        cluster, epoch: their ids.
        revision: of etcd, at which all records were read.
        created_at_ms: milliseconds since the Unix epoch.
        release: of the manager that made it.
        key_id: of the cluster key that decrypts it, as `Keyring.key_id`.
        counts: of records, by the name of their kind.
        schedule: id of the schedule that it was made for; empty: none.
        salt: hexadecimal; makes the key of each backup another one.
    """

    cluster: str
    epoch: str
    revision: int
    created_at_ms: int
    release: str
    key_id: str
    counts: Mapping[str, int]
    salt: str = field(repr=False)
    schedule: str = ""
    format: int = FORMAT

    @property
    def records(self) -> int:
        return sum(self.counts.values())

    def encoded(self) -> bytes:
        """The beginning of the file: everything before its blocks."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()
        return MAGIC + LENGTH.pack(len(text)) + text


def decoded_header(text: bytes) -> BackupHeader:
    """Parse the header's JSON.

    Raises:
        InvalidInput: it is of a newer format, or no header.
    """
    try:
        found = json.loads(text)
        number = found["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidInput("its header is not valid") from error
    if type(number) is int and number > FORMAT:
        release = str(found.get("release", ""))[:64] or "unknown"
        raise InvalidInput(
            f"it has format {number}, and this release reads formats up to {FORMAT}; use the release that made it "
            f"({ascii(release)[1:-1]}) or a newer one"
        )
    try:
        return _checked(found)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInput("its header is not valid") from error


def file_key(cluster_key: bytes, header: BackupHeader) -> bytes:
    """The key of a backup's blocks."""
    return HKDF(SHA256(), 32, bytes.fromhex(header.salt), b"shoal backup").derive(cluster_key)


def block_context(header: bytes, number: int, *, last: bool) -> bytes:
    """What is authenticated with a block.

    Args:
        header: as `BackupHeader.encoded`.
    """
    return hashlib.sha256(header).digest() + struct.pack("!Q?", number, last)


def block_nonce(number: int) -> bytes:
    """Used once for each key: blocks are numbered, and each backup has a key of its own."""
    return number.to_bytes(12, "big")


def _checked(found: Mapping[str, Any]) -> BackupHeader:
    header = BackupHeader(**found)
    texts = (header.cluster, header.epoch, header.release, header.key_id, header.schedule)
    numbers = (header.format, header.revision, header.created_at_ms, *header.counts.values())
    if not all(type(each) is str and each.isprintable() and len(each) <= 64 for each in (*texts, *header.counts)):
        raise ValueError("text")
    if not all(type(each) is int and 0 <= each < 1 << 63 for each in numbers) or header.format != FORMAT:
        raise ValueError("number")
    if len(bytes.fromhex(header.salt)) != SALT_BYTES:
        raise ValueError("salt")
    return header
