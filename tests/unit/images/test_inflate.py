"""Layers as they are compressed: in members and frames, in bounded pieces, and broken."""

import gzip
import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.images.layers.inflate import PIECE, inflated
from agent.images.layers.inflate_zstd import MAX_WINDOW_BITS
from shoal.errors import InvalidInput

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SKIPPED = b"\x5e\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
RANDOM = os.urandom(700_000)


def whole(blob: bytes) -> bytes:
    return b"".join(inflated(io.BytesIO(blob)))


@pytest.mark.parametrize("content", [b"", b"x", bytes(5 * PIECE), RANDOM, RANDOM[:100] * 50_000])
def test_what_was_compressed_comes_back(content: bytes) -> None:
    assert whole(content) == content
    assert whole(gzip.compress(content)) == content
    assert whole(zstd.compress(content)) == content


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=5))
def test_members_and_frames_are_one_after_the_other(parts: list[bytes]) -> None:
    assert whole(b"".join(map(gzip.compress, parts)) + bytes(600)) == b"".join(parts)
    frames = [SKIPPED + zstd.compress(part) for part in parts]
    assert whole(b"".join(frames) + SKIPPED) == b"".join(parts)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_no_piece_is_large_however_well_it_was_compressed(compress: object) -> None:
    assert callable(compress)
    pieces = [len(piece) for piece in inflated(io.BytesIO(compress(bytes(64 * PIECE))))]
    assert sum(pieces) == 64 * PIECE and max(pieces) <= PIECE


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
@pytest.mark.parametrize(
    "damage", [lambda blob: blob[:-1], lambda blob: blob[:50], lambda blob: blob[:20] + bytes(400)]
)
def test_broken_compression_is_told(compress: object, damage: object) -> None:
    assert callable(compress) and callable(damage)
    with pytest.raises(InvalidInput, match=r"the layer is truncated|compressed data is corrupt"):
        whole(damage(compress(RANDOM)))


@pytest.mark.parametrize(("bits", "taken"), [(MAX_WINDOW_BITS, True), (MAX_WINDOW_BITS + 1, False)])
def test_a_frame_that_wants_much_memory_is_refused(bits: int, taken: bool) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: bits})
    blob = compressor.compress(b"x" * 1000, zstd.ZstdCompressor.FLUSH_BLOCK) + compressor.flush()
    if taken:
        assert whole(blob) == b"x" * 1000
    else:
        with pytest.raises(InvalidInput, match="too much memory"):
            whole(blob)


@pytest.mark.parametrize(
    "nothing", [gzip.compress(b""), zstd.compress(b""), SKIPPED[:4] + bytes(4)], ids=["gzip", "zstd", "skipped"]
)
def test_very_many_tiny_parts_cost_no_more_than_their_bytes(nothing: bytes) -> None:
    """What follows a part is copied with each: in pieces of 256 KiB that would be a gigabyte for each of the blob."""

    class Counted(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(size)
            self.taken += len(found)
            return found

    blob = Counted(nothing * 5000)
    assert b"".join(inflated(blob)) == b""
    assert blob.taken < 5000 * 9000


def test_damage_to_zstd_never_surprises() -> None:
    blob = bytearray(zstd.compress(RANDOM[:5000] * 3))
    for at in range(0, len(blob), 37):
        damaged = bytes(blob[:at]) + bytes([blob[at] ^ 0xFF]) + bytes(blob[at + 1 :])
        try:
            whole(damaged)
        except InvalidInput:
            continue
