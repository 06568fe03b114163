"""The file of a backup: what is read is what was written, and nothing else is read at all."""

import dataclasses
import hashlib
import io
import json
import zlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shoal.backups.backup_header import (
    LENGTH,
    MAGIC,
    MAX_BLOCK_BYTES,
    BackupHeader,
    block_context,
    block_nonce,
    file_key,
)
from shoal.backups.backup_reader import BackupRecord, StreamedHeader, inspect_backup, read_backup
from shoal.backups.backup_writer import BackupWriter
from shoal.errors import InvalidInput
from shoal.identity.keyring import key_id

KEY = bytes(range(32))
RECORDS = [BackupRecord(f"/shoal/v1/tasks/{number:04}".encode(), b"x" * number * 7) for number in range(800)]


def header_of(records: int) -> BackupHeader:
    return BackupHeader("c1", "e1", 7, 1_000, "0.1.0", key_id(KEY), {"task": records}, "ab" * 32)


def written(records: list[BackupRecord], header: BackupHeader | None = None, key: bytes = KEY) -> bytes:
    writer = BackupWriter(header or header_of(len(records)), key)
    content = writer.begin()
    for record in records:
        writer.add(*record)
        if writer.is_full:
            content += writer.block()
    return content + writer.finish()


def opened(content: bytes, key: bytes = KEY) -> list[BackupRecord]:
    return list(read_backup(io.BytesIO(content), lambda _: key))


WHOLE = written(RECORDS)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=64), st.binary(max_size=2000)), max_size=40))
def test_records_come_back_byte_for_byte(records: list[tuple[bytes, bytes]]) -> None:
    made = [BackupRecord(*each) for each in records]
    assert opened(written(made)) == made


def test_several_blocks_are_read_in_order_and_the_header_needs_no_key() -> None:
    assert WHOLE.count(LENGTH.pack(0)) >= 1
    assert opened(WHOLE) == RECORDS
    found = inspect_backup(io.BytesIO(WHOLE))
    assert found.header == header_of(len(RECORDS))
    assert (found.size_bytes, found.sha256) == (len(WHOLE), WHOLE[-32:].hex())


def test_nothing_of_a_record_is_readable_in_the_file() -> None:
    content = written([BackupRecord(b"/shoal/v1/secrets/s1", b"PASSWORD=hunter2")])
    assert b"hunter2" not in content
    assert b"secrets/s1" not in content
    assert KEY not in content


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_byte_that_differs_is_noticed_with_the_key_and_without(place: int, mask: int) -> None:
    changed = WHOLE[:place] + bytes([WHOLE[place] ^ mask]) + WHOLE[place + 1 :]
    with pytest.raises(InvalidInput):
        inspect_backup(io.BytesIO(changed))
    with pytest.raises(InvalidInput):
        opened(changed)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_that_is_cut_is_refused(length: int) -> None:
    for read in (lambda content: inspect_backup(io.BytesIO(content)), opened):
        with pytest.raises(InvalidInput):
            read(WHOLE[:length])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more after its end"):
        inspect_backup(io.BytesIO(WHOLE + b"x"))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(InvalidInput, match="cannot be decrypted"):
        opened(WHOLE, bytes(32))


def test_a_newer_format_is_refused_by_name() -> None:
    text = json.dumps({"format": 2, "release": "9.9.0", "what": "ever"}).encode()
    with pytest.raises(InvalidInput, match=r"format 2.*9\.9\.0"):
        inspect_backup(io.BytesIO(MAGIC + LENGTH.pack(len(text)) + text))


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"format":1}', b'{"format":"1"}', b"[" * 60_000, b'{"format":1,"extra":2}', b"\xff", b"null"],
)
def test_a_header_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="header is not valid"):
        inspect_backup(io.BytesIO(MAGIC + LENGTH.pack(len(text)) + text))


@pytest.mark.parametrize(
    "change", [{"revision": -1}, {"revision": 1.5}, {"cluster": "c\n1"}, {"salt": "ab"}, {"counts": []}]
)
def test_a_header_with_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    text = json.dumps({**dataclasses.asdict(header_of(1)), **change}).encode()
    with pytest.raises(InvalidInput, match="header is not valid"):
        inspect_backup(io.BytesIO(MAGIC + LENGTH.pack(len(text)) + text))


def test_lengths_are_bounded_before_anything_is_read() -> None:
    for content in (MAGIC + LENGTH.pack(1 << 31), header_of(1).encoded() + LENGTH.pack(MAX_BLOCK_BYTES + 1)):
        with pytest.raises(InvalidInput):
            inspect_backup(io.BytesIO(content + b"x" * 100))


def sealed_file(plain: bytes, header: BackupHeader) -> bytes:
    """A file with the right key and digest whose only block decrypts to these bytes."""
    start = header.encoded()
    block = AESGCM(file_key(KEY, header)).encrypt(block_nonce(0), plain, block_context(start, 0, last=True))
    content = start + LENGTH.pack(len(block)) + block + LENGTH.pack(0)
    return content + hashlib.sha256(content).digest()


def test_a_block_that_grows_without_bounds_is_refused() -> None:
    bomb = zlib.compress(bytes(MAX_BLOCK_BYTES + 1), 9)
    assert len(bomb) < 100_000
    with pytest.raises(InvalidInput, match="too large"):
        opened(sealed_file(bomb, header_of(1)))


@pytest.mark.parametrize("plain", [b"x", b"\0\0\0\1\0\0\0\1k", b"\0\0\0\1\xff\xff\xff\xff", b"\0\0\0\1\0\0\0\0kmore"])
def test_records_that_do_not_fill_their_block_are_refused(plain: bytes) -> None:
    with pytest.raises(InvalidInput, match="record is incomplete"):
        opened(sealed_file(zlib.compress(plain), header_of(1)))


def test_a_count_that_is_wrong_is_refused() -> None:
    with pytest.raises(InvalidInput, match="800 of 801"):
        opened(written(RECORDS, header_of(801)))


def test_blocks_of_two_backups_do_not_mix() -> None:
    other = written(RECORDS, dataclasses.replace(header_of(len(RECORDS)), revision=8))
    length = len(header_of(len(RECORDS)).encoded())
    mixed = WHOLE[:length] + other[length:-32]
    with pytest.raises(InvalidInput, match="cannot be decrypted"):
        opened(mixed + hashlib.sha256(mixed).digest())


@given(st.lists(st.integers(1, 5000), max_size=200))
def test_a_backup_that_passes_in_pieces_is_checked(cuts: list[int]) -> None:
    passing, place = StreamedHeader(), 0
    for cut in [*cuts, len(WHOLE)]:
        passing.feed(WHOLE[place : place + cut])
        place += cut
    assert passing.finished() == header_of(len(RECORDS))
    short = StreamedHeader()
    short.feed(WHOLE[:-1])
    with pytest.raises(InvalidInput, match="incomplete"):
        short.finished()
