"""Archives that clients send compressed, undone as they come: gzip, bzip2, xz, zstd, or not at all. Pure."""

import bz2
import lzma
import sys
import zlib
from typing import Any, Protocol

from engine.protocol.errors import bad_request

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP_BITS = 31
_PIECE_BYTES = 1 << 20


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


_BEGINNINGS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(_GZIP_BITS)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", zstd.ZstdDecompressor),
)
_LONGEST = 6


class Decompression:
    """Undoes whatever compression a stream begins with. Pieces of what comes out are bounded."""

    def __init__(self) -> None:
        self._begun = b""
        self._decided = False
        self._decompressor: Any = None

    def feed(self, data: bytes) -> list[bytes]:
        """What comes out of further bytes.

        Raises:
            ApiError: 400, they are damaged.
        """
        if not self._decided:
            self._begun += data
            if len(self._begun) < _LONGEST:
                return []
            data = self._decide()
        return self._pieces(data)

    def finish(self) -> list[bytes]:
        """What is left of a stream that has ended."""
        if self._decided:
            return []
        return self._pieces(self._decide())

    def _decide(self) -> bytes:
        self._decided, data, self._begun = True, self._begun, b""
        make = next((make for beginning, make in _BEGINNINGS if data.startswith(beginning)), None)
        self._decompressor = make() if make is not None else None
        return data

    def _pieces(self, data: bytes) -> list[bytes]:
        if self._decompressor is None:
            return [data] if data else []
        try:
            return [piece for piece in _run(self._decompressor, data) if piece]
        except (zlib.error, OSError, EOFError, lzma.LZMAError, zstd.ZstdError) as error:
            raise bad_request(f"invalid archive: {error}") from None


def _run(decompressor: Any, data: bytes) -> list[bytes]:
    if getattr(decompressor, "eof", False):
        return []
    pieces = [decompressor.decompress(data, _PIECE_BYTES)]
    if hasattr(decompressor, "unconsumed_tail"):
        while decompressor.unconsumed_tail:
            pieces.append(decompressor.decompress(decompressor.unconsumed_tail, _PIECE_BYTES))
        return pieces
    while not decompressor.needs_input and not decompressor.eof:
        pieces.append(decompressor.decompress(b"", _PIECE_BYTES))
    return pieces
