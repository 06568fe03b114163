"""Chunks of an archive that is written as a stream, in bounded memory."""

import tarfile
from collections.abc import Generator, Iterable

from shoal.tar.tar_entries import CHUNK_BYTES

_END = bytes(2 * tarfile.BLOCKSIZE)


def archive_chunks(pieces: Iterable[bytes]) -> Generator[bytes]:
    """An archive of these headers and contents, with its end (two empty blocks).

    Small pieces are joined until they have CHUNK_BYTES; those that have as many pass as they are, not copied.
    """
    buffer = bytearray()
    for piece in pieces:
        if len(piece) >= CHUNK_BYTES:  # not copied
            if buffer:
                yield bytes(buffer)
                buffer.clear()
            yield piece
            continue
        buffer += piece
        if len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer + _END)
