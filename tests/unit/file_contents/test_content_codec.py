"""Secrets in etcd: what is sealed opens again, and only in its own place with a key of the cluster."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.file_contents.content_codec import EncryptedCodec, PlainCodec
from shoal.api.v1.file_pb2 import File, FileVersion
from shoal.errors import InvalidInput, Refused
from shoal.identity import keyring
from shoal.identity.keyring import Keyring

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
CONTENT = st.binary(min_size=1, max_size=300)


def secret(contents: EncryptedCodec, identifier: str = "s1") -> File:
    file = File(encrypted_data_key=contents.new_data_key(identifier))
    file.meta.id = identifier
    return file


def stored(contents: EncryptedCodec, file: File, content: bytes) -> FileVersion:
    version = contents.version_of(file, content)
    return FileVersion(file_id=file.meta.id, version=version, content=contents.encode(file, version, content))


@given(CONTENT)
@settings(max_examples=50)
def test_what_is_sealed_opens_and_does_not_show(content: bytes) -> None:
    contents = EncryptedCodec(Keyring(OLD))
    file = secret(contents)
    version = stored(contents, file, content)
    assert contents.decode(file, version) == content
    if len(content) > 3:
        assert content not in version.SerializeToString()
        assert content not in file.SerializeToString()


@given(CONTENT, CONTENT)
@settings(max_examples=50)
def test_a_version_is_its_content_and_tells_nothing_to_who_guesses(one: bytes, other: bytes) -> None:
    contents = EncryptedCodec(Keyring(OLD))
    file, second = secret(contents), secret(contents, "s2")
    assert (contents.version_of(file, one) == contents.version_of(file, other)) == (one == other)
    assert contents.version_of(file, one) != contents.version_of(second, one), "the digest is keyed by secret"
    assert (PlainCodec().version_of(file, one) == PlainCodec().version_of(second, other)) == (one == other)


def test_a_content_opens_in_its_own_place_alone() -> None:
    contents = EncryptedCodec(Keyring(OLD))
    file, other = secret(contents), secret(contents, "s2")
    version = stored(contents, file, b"hunter2")
    for file_id, number in (("s2", version.version), ("s1", "another version")):
        moved = FileVersion(file_id=file_id, version=number, content=version.content)
        with pytest.raises(InvalidInput):
            contents.decode(file, moved)
    with pytest.raises(InvalidInput):
        contents.decode(other, version)
    with pytest.raises(InvalidInput):
        EncryptedCodec(Keyring(NEW)).decode(file, version)


def test_during_a_rotation_both_keys_open_and_rewrapping_touches_data_keys_alone() -> None:
    before, during, after = (
        EncryptedCodec(Keyring(OLD)),
        EncryptedCodec(Keyring(NEW, OLD)),
        EncryptedCodec(Keyring(NEW)),
    )
    file = secret(before)
    version = stored(before, file, b"hunter2")
    assert during.decode(file, version) == b"hunter2"
    made_meanwhile = secret(during, "s2")
    assert before.decode(made_meanwhile, stored(during, made_meanwhile, b"x")) == b"x", "managers not yet restarted"
    changed = during.reencrypted(file)
    assert changed is not None and during.reencrypted(changed) is None
    assert after.decode(changed, version) == b"hunter2"
    assert after.version_of(changed, b"hunter2") == version.version
    with pytest.raises(InvalidInput):
        before.decode(changed, version)


def test_keys_are_not_shown() -> None:
    assert OLD.hex() not in repr(Keyring(OLD, NEW)) and str(OLD) not in repr(Keyring(OLD, NEW))
    assert Keyring(OLD).key_id == Keyring(OLD, NEW).key_id != Keyring(NEW).key_id


def test_rotating_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    first = keyring.load_keyring(path, make=True)
    keyring.rotate(path)
    second = keyring.load_keyring(path)
    assert second.previous == first.current and second.current != first.current
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in tmp_path.iterdir())
    with pytest.raises(Refused, match="in progress"):
        keyring.rotate(path)
    path.write_bytes(first.current)  # as if the call had been interrupted before its second file
    keyring.rotate(path)
    assert keyring.load_keyring(path).previous == first.current
