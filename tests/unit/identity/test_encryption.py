"""Sealing with the cluster key, and the key's file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InvalidInput, NotFound
from shoal.identity import encryption

KEY = bytes(range(32))


@given(st.binary(max_size=200))
def test_what_is_sealed_can_be_opened(plain: bytes) -> None:
    sealed = encryption.encrypt(KEY, plain, purpose="test")
    assert plain not in sealed or len(plain) < 4
    assert encryption.decrypt(KEY, sealed, purpose="test") == plain


@given(st.integers(min_value=0, max_value=12 + 6 + 16 - 1))
def test_no_byte_can_be_changed(place: int) -> None:
    sealed = bytearray(encryption.encrypt(KEY, b"secret", purpose="test"))
    sealed[place] ^= 1
    with pytest.raises(InvalidInput):
        encryption.decrypt(KEY, bytes(sealed), purpose="test")


def test_another_key_or_purpose_does_not_open() -> None:
    sealed = encryption.encrypt(KEY, b"secret", purpose="one")
    with pytest.raises(InvalidInput, match="the key of another cluster"):
        encryption.decrypt(KEY[::-1], sealed, purpose="one")
    with pytest.raises(InvalidInput):
        encryption.decrypt(KEY, sealed, purpose="two")
    with pytest.raises(InvalidInput):
        encryption.decrypt(KEY, b"", purpose="one")


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "cluster.key"
    key = encryption.load_or_create_key(path)
    assert encryption.load_or_create_key(path) == key == encryption.load_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key) == encryption.KEY_BYTES


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    encryption.load_or_create_key(path)
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600"):
        encryption.load_or_create_key(path)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_refused_and_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cluster.key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="32 bytes"):
        encryption.load_or_create_key(path)
    assert path.stat().st_size == size


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not found"):
        encryption.load_key(tmp_path / "none")
