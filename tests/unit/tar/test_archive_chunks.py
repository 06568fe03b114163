"""Archives are written in few chunks, without copies of large pieces."""

import tarfile

from shoal.tar.archive_chunks import archive_chunks
from shoal.tar.tar_entries import CHUNK_BYTES

END = bytes(2 * tarfile.BLOCKSIZE)


def test_an_empty_archive_is_its_end() -> None:
    assert list(archive_chunks([])) == [END]


def test_small_pieces_are_joined() -> None:
    assert list(archive_chunks([b"a" * 512, b"b" * 512])) == [b"a" * 512 + b"b" * 512 + END]


def test_joined_pieces_leave_once_they_fill_a_chunk() -> None:
    half = CHUNK_BYTES // 2
    chunks = list(archive_chunks([b"a" * half, b"b" * (half - 1), b"c" * half, b"d"]))
    assert [len(each) for each in chunks] == [CHUNK_BYTES - 1 + half, 1 + len(END)]


def test_a_large_piece_is_passed_on_as_it_is_after_those_before_it() -> None:
    large = b"x" * CHUNK_BYTES
    chunks = list(archive_chunks([b"a", large, b"b"]))
    assert chunks == [b"a", large, b"b" + END]
    assert chunks[1] is large
