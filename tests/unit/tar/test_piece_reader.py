"""Exact reads of pieces of any size."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.tar.piece_reader import PieceReader


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 30)))
def test_reads_are_exact(pieces: list[bytes], sizes: list[int]) -> None:
    whole, reader, at = b"".join(pieces), PieceReader(iter(pieces)), 0
    for size in sizes:
        assert reader.read(size) == whole[at : at + size]
        at = min(len(whole), at + size)
    assert reader.read(1000) == whole[at:]
