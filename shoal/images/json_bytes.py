"""Reproducible JSON and digests of files."""

import hashlib
import json
from typing import BinaryIO

_READ = 1 << 20


def to_bytes(document: object) -> bytes:
    """Compact JSON with sorted keys."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of_stream(file: BinaryIO) -> tuple[str, int]:
    """Sha256 digest and size in bytes of what is left in a file."""
    found, size = hashlib.sha256(), 0
    while chunk := file.read(_READ):
        found.update(chunk)
        size += len(chunk)
    return f"sha256:{found.hexdigest()}", size
