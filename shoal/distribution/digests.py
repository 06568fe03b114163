"""Content digests (OCI image-spec, descriptor.md): `sha256:<64 hex digits>`; sha512 likewise."""

import hashlib
import re
from typing import Self

from shoal.errors import InvalidInput

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def is_digest(text: str) -> bool:
    """Whether the text is a digest of an algorithm that we can verify."""
    return _DIGEST.fullmatch(text) is not None


def digest_of(content: bytes) -> str:
    """The sha256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class DigestCheck:
    """Verifies a stream against a digest and, where it is known, a size, as its bytes go by."""

    def __init__(self, expected: str, size: int | None = None) -> None:
        if not is_digest(expected):
            raise InvalidInput(f"{expected[:80]!r} is not a digest; expected sha256:<64 hex digits>")
        self.expected = expected
        self.seen = 0
        self._size = size
        self._hash = hashlib.new(expected.partition(":")[0])

    def update(self, chunk: bytes) -> Self:
        """Take the next bytes.

        Raises:
            InvalidInput: more bytes than announced; raised at once, before more of them fill the disk.
        """
        self._hash.update(chunk)
        self.seen += len(chunk)
        if self._size is not None and self.seen > self._size:
            raise InvalidInput(f"content of {self.expected} is longer than the {self._size} bytes announced")
        return self

    def finish(self) -> None:
        """Raises:
        InvalidInput: the bytes are not what the digest names.
        """
        if self._size is not None and self.seen != self._size:
            raise InvalidInput(f"content of {self.expected} has {self.seen} bytes where {self._size} were announced")
        found = f"{self.expected.partition(':')[0]}:{self._hash.hexdigest()}"
        if found != self.expected:
            raise InvalidInput(f"content is corrupt: digest {found} where {self.expected} was expected")
