"""An identity on disk: whole, private, and told clearly when it is not there."""

import fcntl
from dataclasses import replace
from pathlib import Path

import pytest

from shoal.errors import NotFound, Unavailable
from shoal.identity import identity, private_files
from shoal.identity.identity import Identity

IDENTITY = Identity(certificate=b"certificate", key=b"the private key", ca=b"authority")


def test_an_identity_survives_saving(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "identity"
    assert not identity.is_complete(place)
    IDENTITY.save(place)
    assert identity.is_complete(place)
    assert Identity.load(place) == IDENTITY


def test_the_directory_and_the_key_are_for_the_owner_alone(tmp_path: Path) -> None:
    place = tmp_path / "identity"
    IDENTITY.save(place)
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "key.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in place.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


def test_a_directory_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    IDENTITY.save(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    IDENTITY.save(tmp_path)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(NotFound, match=r"not found: .*key\.pem"):
        Identity.load(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="cannot write the identity"):
        IDENTITY.save(tmp_path / "file" / "identity")


def test_the_key_is_not_in_the_representation() -> None:
    assert "private" not in repr(IDENTITY)


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").write_bytes(b"")
    with pytest.raises(OSError, match="directory"):
        private_files.write_atomically(tmp_path / "taken", b"new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["taken"]


def test_a_mode_is_what_was_asked_for_whatever_the_old_file_had(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o666)
    private_files.write_atomically(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)


def test_a_renewal_writes_no_key_and_another_key_replaces_the_old_one_first(tmp_path: Path) -> None:
    IDENTITY.save(tmp_path)
    key = (tmp_path / "key.pem").stat().st_ino
    replace(IDENTITY, certificate=b"renewed").save(tmp_path)
    assert (tmp_path / "key.pem").stat().st_ino == key
    (tmp_path / "cert.pem").unlink()
    (tmp_path / "cert.pem").mkdir()
    with pytest.raises(Unavailable):
        replace(IDENTITY, key=b"another").save(tmp_path)
    assert not identity.is_complete(tmp_path), "no certificate is left beside a key that is not its own"


def test_drafts_of_writers_that_were_killed_are_removed_and_others_are_not(tmp_path: Path) -> None:
    path, dead, living = tmp_path / "key", tmp_path / ".key.1.new", tmp_path / ".key.2.new"
    for each in (dead, living, tmp_path / ".other.1.new"):
        each.write_bytes(b"")
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        private_files.write_atomically(path, b"new")
    assert sorted(each.name for each in tmp_path.iterdir()) == [".key.2.new", ".other.1.new", "key"]
