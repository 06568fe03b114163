"""Join tokens: their form, what they pin, and what a user is told of a broken one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InvalidInput, Unavailable
from shoal.identity import join_token
from shoal.identity.authority import Authority
from shoal.identity.join_token import JoinToken
from shoal.ids import is_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CA = Authority.create("one", NOW).certificate
SECRET = "0123456789abcdefghjkmnpqr"


def test_a_token_survives_printing_and_reading() -> None:
    token = JoinToken(join_token.hash_of_ca(CA), join_token.new_secret())
    assert join_token.parse(f"  {token}\n") == token


def test_a_token_pins_its_own_authority_only() -> None:
    token = JoinToken(join_token.hash_of_ca(CA), SECRET)
    assert token.matches_ca(CA)
    assert not token.matches_ca(Authority.create("one", NOW).certificate)


def test_the_hash_is_of_the_certificate_and_not_of_its_spelling() -> None:
    assert join_token.hash_of_ca(CA.replace(b"\n", b"\r\n")) == join_token.hash_of_ca(CA)


@pytest.mark.parametrize("text", [b"", b"no certificate", CA + CA, CA.replace(b"MII", b"M=I", 1)])
def test_what_is_not_one_certificate_has_no_hash(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        join_token.hash_of_ca(text)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "does not start with SHOAL-1-"),
        ("SWMTKN-1-abc-def", "does not start with SHOAL-1-"),
        ("SHOAL-2-abc-def", "version is not 1"),
        ("SHOAL-1-abc", "3 parts"),
        (f"SHOAL-1-{'a' * 52}-{SECRET[:-1]}", "wrong length"),
        (f"SHOAL-1-{'a' * 52}-{SECRET[:-1]}u", "invalid characters"),
        (f"SHOAL-1-{'A' * 52}-{SECRET}", "invalid characters"),
    ],
)
def test_a_broken_token_is_told_in_one_line(text: str, reported: str) -> None:
    with pytest.raises(InvalidInput, match=reported) as caught:
        join_token.parse(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        assert str(join_token.parse(text)) == text.strip()
    except InvalidInput as error:
        assert "invalid join token" in str(error)


def test_the_secret_is_not_in_the_representation() -> None:
    assert SECRET not in repr(JoinToken("a" * 52, SECRET))


def test_secrets_differ() -> None:
    assert len({join_token.new_secret() for _ in range(100)}) == 100
    assert join_token.same_mac(join_token.mac(b"k", SECRET), join_token.mac(b"k", SECRET))
    assert not join_token.same_mac(join_token.mac(b"k", SECRET), join_token.mac(b"l", SECRET))
    assert is_id(join_token.token_id(SECRET))
    assert join_token.token_id(SECRET) not in SECRET


def test_a_token_is_read_from_the_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  SHOAL-1-a-b\n")
    assert join_token.read("", file) == "SHOAL-1-a-b"
    assert join_token.read("SHOAL-1-c-d", None) == "SHOAL-1-c-d"
    assert join_token.read("", None) == ""


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Unavailable, match=f"cannot read the token file {file}"):
        join_token.read("", file)
