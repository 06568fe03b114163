"""Contexts of the command line: files only, in a temporary directory."""

import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shoal.contexts import certificate_renewal, context_archive
from shoal.contexts.context_store import ContextStore, default_directory, identity_from_files
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Refused
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role

IDENTITY = Identity(certificate=b"certificate", key=b"key", ca=b"authority")


def _two(directory: Path) -> ContextStore:
    contexts = ContextStore(directory / "shoal")
    contexts.create("one", IDENTITY, ["h1:1", "[2001:db8::1]:2"], registries=Path("/etc/registries.toml"))
    contexts.create("two", IDENTITY, ["h2:1"])
    return contexts


def test_the_first_context_becomes_the_chosen_one(tmp_path: Path) -> None:
    contexts = _two(tmp_path)
    assert [each.name for each in contexts.list()] == ["one", "two"]
    assert contexts.current_name() == "one"
    one = contexts.get("one")
    assert one.addresses == ("h1:1", "[2001:db8::1]:2")
    assert one.registries == Path("/etc/registries.toml")
    assert Identity.load(one.directory) == IDENTITY
    assert contexts.get("two").registries is None


def test_everything_is_for_the_owner_alone(tmp_path: Path) -> None:
    contexts = _two(tmp_path)
    place = contexts.get("one").directory
    for directory in (contexts.directory, contexts.directory / "contexts", place):
        assert directory.stat().st_mode & 0o777 == 0o700
    for name in ("key.pem", "context.toml"):
        assert (place / name).stat().st_mode & 0o777 == 0o600


def test_the_option_comes_before_the_environment_before_the_choice(tmp_path: Path) -> None:
    contexts = _two(tmp_path)
    assert contexts.resolve(None, {}).name == "one"
    assert contexts.resolve(None, {"SHOAL_CONTEXT": "two"}).name == "two"
    assert contexts.resolve("one", {"SHOAL_CONTEXT": "two"}).name == "one"
    contexts.use("two")
    assert contexts.resolve(None, {}).name == "two"
    with pytest.raises(NotFound, match="'three'"):
        contexts.resolve("three", {})


def test_without_a_choice_the_only_one_is_taken(tmp_path: Path) -> None:
    contexts = _two(tmp_path)
    with pytest.raises(Refused, match="is the current context"):
        contexts.remove("one")
    contexts.remove("two")
    contexts.remove("one", force=True)
    assert contexts.current_name() is None
    with pytest.raises(NotFound, match="context create"):
        contexts.resolve(None, {})
    contexts.create("one", IDENTITY, ["h1:1"])
    contexts.create("two", IDENTITY, ["h1:1"])
    (contexts.directory / "current").unlink()
    with pytest.raises(NotFound, match="one, two"):
        contexts.resolve(None, {})
    contexts.remove("two")
    assert contexts.resolve(None, {}).name == "one"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-a", "a" * 64, "ä"])
def test_a_bad_name_makes_nothing(tmp_path: Path, name: str) -> None:
    contexts = ContextStore(tmp_path / "shoal")
    with pytest.raises(InvalidInput, match="is not a valid context name"):
        contexts.create(name, IDENTITY, ["h1:1"])
    assert not contexts.directory.exists()


@pytest.mark.parametrize("addresses", [[], ["h1"], ["h1:1", "h2:x"]])
def test_a_bad_address_makes_nothing(tmp_path: Path, addresses: list[str]) -> None:
    contexts = ContextStore(tmp_path / "shoal")
    with pytest.raises(InvalidInput):
        contexts.create("one", IDENTITY, addresses)
    assert contexts.list() == []


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists):
        _two(tmp_path).create("one", IDENTITY, ["h1:1"])


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        ("addresses = [", "not valid TOML"),
        ("addresses = []", "at least one"),
        ('addresses = "h1:1"', "must be a list"),
        ("addresses = [1]", "must be a list"),
        ('addresses = ["h1:1"]\nadress = 1', "unknown key 'adress'"),
        ('addresses = ["h1:1"]\nregistries = 1', "file path"),
    ],
)
def test_damaged_settings_are_told_with_their_file(tmp_path: Path, settings: str, reported: str) -> None:
    contexts = _two(tmp_path)
    path = contexts.get("one").directory / "context.toml"
    path.write_text(settings, encoding="utf-8")
    with pytest.raises(InvalidInput, match=reported) as caught:
        contexts.get("one")
    assert str(path) in str(caught.value)


def test_settings_of_any_text_survive(tmp_path: Path) -> None:
    registries = Path('/a "b"\\c\n\x7fd/é')
    contexts = ContextStore(tmp_path)
    assert contexts.create("one", IDENTITY, ["h1:1"], registries=registries).registries == registries


def test_a_context_travels_as_one_private_file(tmp_path: Path) -> None:
    contexts, file = _two(tmp_path), tmp_path / "one.tar"
    context_archive.export_context(contexts.get("one"), file)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AlreadyExists):
        context_archive.export_context(contexts.get("one"), file)
    elsewhere = ContextStore(tmp_path / "elsewhere")
    arrived = context_archive.import_context(elsewhere, "prod", file)
    assert (arrived.name, arrived.addresses) == ("prod", contexts.get("one").addresses)
    assert Identity.load(arrived.directory) == IDENTITY


def test_what_is_no_exported_context_makes_nothing(tmp_path: Path) -> None:
    contexts, file = ContextStore(tmp_path / "shoal"), tmp_path / "file"
    file.write_bytes(b"nonsense")
    with pytest.raises(InvalidInput, match="not an exported context"):
        context_archive.import_context(contexts, "one", file)
    with pytest.raises(NotFound):
        context_archive.import_context(contexts, "one", tmp_path / "none")
    with tarfile.open(file, "w") as archive:
        for name in ("context.toml", "ca.pem", "cert.pem"):
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("key.pem")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(link)
    with pytest.raises(InvalidInput, match="not an exported context"):
        context_archive.import_context(contexts, "one", file)
    assert contexts.list() == []


def test_a_context_can_be_made_from_single_files(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode())
    assert identity_from_files(tmp_path / "a", tmp_path / "b", tmp_path / "c") == Identity(
        certificate=b"b", key=b"c", ca=b"a"
    )
    with pytest.raises(NotFound, match="not found"):
        identity_from_files(tmp_path / "a", tmp_path / "b", tmp_path / "none")


def test_where_the_files_are() -> None:
    assert default_directory({"SHOAL_CONFIG": "/a"}) == Path("/a")
    assert default_directory({"XDG_CONFIG_HOME": "/x"}) == Path("/x/shoal")
    assert default_directory({}) == Path.home() / ".config" / "shoal"


def test_a_certificate_that_ends_soon_is_told() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    identity = Authority.create("c", now).issue(CertificateSubject("root", Role.ADMIN, "c"), now)
    assert certificate_renewal.expiry_warning(identity, now) is None
    soon = certificate_renewal.expiry_warning(identity, now + timedelta(days=360))
    assert soon is not None
    assert "expires in 5 days" in soon
    ended = certificate_renewal.expiry_warning(identity, now + timedelta(days=365))
    assert ended is not None
    assert "expired at 2027-03-01" in ended


def test_a_certificate_that_cannot_be_renewed_is_told(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    identity = Authority.create("c", now).issue(CertificateSubject("root", Role.ADMIN, "c"), now)
    made = ContextStore(tmp_path).create("prod", identity, ["127.0.0.1:1"])
    assert certificate_renewal.renew_if_due(made, now + timedelta(days=240)) is None
    reported = certificate_renewal.renew_if_due(made, now + timedelta(days=250))
    assert reported is not None
    assert "'prod' expires soon and could not be renewed: 127.0.0.1:1" in reported
    ended = certificate_renewal.renew_if_due(made, now + timedelta(days=366))
    assert ended is not None
    assert "expired at" in ended
