"""Archives of unknown origin as uncompressed files: decompressed in bounded pieces, within a bound for the disk."""

import bz2
import gzip
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol, cast

from shoal.errors import Exhausted, InvalidInput, NotFound

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE = 1 << 20
_CHECK_BYTES = 64 << 20
_MAX_WINDOW_BITS = 27
_XZ_MEMORY_BYTES = 256 << 20
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError)


@dataclass(frozen=True)
class SpoolLimits:
    """How much an archive may become.

    Attributes:
        max_bytes: uncompressed.
        reserve_bytes: that stay free on the disk.
        directory: where; None: TMPDIR.
    """

    max_bytes: int = 256 << 30
    reserve_bytes: int = 1 << 30
    directory: Path | None = None


class _Decompressor(Protocol):
    """What `bz2`, `lzma` and `zstd` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _zstd() -> _Decompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_BITS})


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)


_FORMATS: tuple[tuple[bytes, Callable[[], _Decompressor] | None], ...] = (
    (b"\x1f\x8b", None),  # gzip, for which the standard library has another interface
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", _xz),
)


@contextmanager
def uncompressed(path: Path, limits: SpoolLimits | None = None) -> Iterator[BinaryIO]:
    """An archive's file, or a temporary one with what it decompresses to (gzip, zstd, bzip2, xz).

    Raises:
        NotFound: no such file. InvalidInput: the compressed data is corrupt.
        Exhausted: it does not fit within the limits.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file or directory") from error
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from error
    with file:
        if is_plain(file.read(6)) and file.seekable():
            yield file
            return
        file.seek(0)
        with spooled(file, str(path), limits) as plain:
            yield plain


@contextmanager
def spooled(source: BinaryIO, name: str, limits: SpoolLimits | None = None) -> Iterator[BinaryIO]:
    """A temporary file with the uncompressed bytes of a stream, which may be a pipe. Raises as `uncompressed` does."""
    limits = limits or SpoolLimits()
    with TemporaryFile(prefix="shoal-archive-", dir=limits.directory) as file:
        _fill(file, source, name, limits)
        file.seek(0)
        yield cast(BinaryIO, file)


def is_plain(beginning: bytes) -> bool:
    """Whether a file that begins so is in none of the compressions known here."""
    return not any(beginning.startswith(magic) for magic, _ in _FORMATS)


def pieces(source: BinaryIO, name: str) -> Iterator[bytes]:
    """The uncompressed bytes of a stream, in pieces of a MiB at most.

    Raises:
        InvalidInput: the compressed data is corrupt.
    """
    beginning = source.read(6)
    make = next(((magic, made) for magic, made in _FORMATS if beginning.startswith(magic)), None)
    stream = cast(BinaryIO, _Prefixed(beginning, source))
    try:
        if make is None:
            yield from iter(lambda: stream.read(_PIECE), b"")
        elif make[1] is None:
            with gzip.GzipFile(fileobj=stream) as unzipped:
                yield from iter(lambda: unzipped.read(_PIECE), b"")
        else:
            yield from _decompressed(stream, make[1])
    except _BROKEN as error:
        raise InvalidInput(f"{name}: the compressed data is corrupt: {error}") from error


def _decompressed(stream: BinaryIO, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Of one frame after the other."""
    decompressor, data = make(), stream.read(_PIECE)
    while data or not decompressor.needs_input:
        yield decompressor.decompress(data, _PIECE)
        data = b""
        if decompressor.eof:
            data = decompressor.unused_data or stream.read(_PIECE)
            if not data:
                return
            decompressor = make()
        elif decompressor.needs_input:
            data = stream.read(_PIECE)
    raise EOFError("it ends early")


def _fill(file: object, source: BinaryIO, name: str, limits: SpoolLimits) -> None:
    target = cast(BinaryIO, file)
    written, checked = 0, -_CHECK_BYTES
    for piece in pieces(source, name):
        written += len(piece)
        if written > limits.max_bytes:
            raise Exhausted(f"{name}: the archive is too large; the maximum is {limits.max_bytes} bytes uncompressed")
        if written - checked >= _CHECK_BYTES:
            _check_space(target, name, limits)
            checked = written
        try:
            target.write(piece)
        except OSError as error:
            raise Exhausted(f"{name}: {error.strerror}; set TMPDIR to a directory with more space") from error
    target.flush()


def _check_space(file: BinaryIO, name: str, limits: SpoolLimits) -> None:
    found = os.fstatvfs(file.fileno())
    if found.f_bavail * found.f_frsize < limits.reserve_bytes + _CHECK_BYTES:
        raise Exhausted(
            f"{name}: less than {limits.reserve_bytes + _CHECK_BYTES} bytes are free for the uncompressed archive; "
            "set TMPDIR to a directory with more space"
        )


class _Prefixed:
    """A stream of which the beginning was read already."""

    def __init__(self, beginning: bytes, rest: BinaryIO) -> None:
        self._beginning = beginning
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        if not self._beginning:
            return self._rest.read(size)
        beginning, self._beginning = self._beginning, b""
        if 0 <= size < len(beginning):
            beginning, self._beginning = beginning[:size], beginning[size:]
        return beginning
