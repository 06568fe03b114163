"""Tokens for signing in to a console."""

from datetime import UTC, datetime, timedelta

import pytest

from shoal.errors import Unauthenticated
from shoal.identity import sign_in_token
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
AUTHORITY = Authority.create("cluster1", NOW - timedelta(days=1))
ADA = AUTHORITY.issue(CertificateSubject("ada", Role.ADMIN, "cluster1"), NOW)


def refusal(token: str, *, now: datetime = NOW, authority: bytes = AUTHORITY.certificate) -> str:
    with pytest.raises(Unauthenticated) as raised:
        sign_in_token.check(token, authority=authority, now=now)
    return str(raised.value)


def token(**more: datetime) -> str:
    return sign_in_token.make(ADA, number="n1", now=more.get("now", NOW))


def test_a_token_names_its_user() -> None:
    found = sign_in_token.check(token(), authority=AUTHORITY.certificate, now=NOW + timedelta(minutes=4))
    assert (found.subject.id, found.subject.role, found.number) == ("ada", Role.ADMIN, "n1")
    assert found.until == NOW + sign_in_token.VALID
    assert len(token()) < 2048  # it is pasted into a field


def test_a_token_is_good_for_some_minutes() -> None:
    assert refusal(token(), now=NOW + timedelta(minutes=6)).startswith("the token has expired")
    assert refusal(token(now=NOW + timedelta(minutes=3))).startswith("the token has expired")


def test_a_token_of_another_cluster() -> None:
    other = Authority.create("cluster2", NOW)
    assert refusal(token(), authority=other.certificate).startswith("the token is of another cluster")


def test_agents_and_engines_are_no_people() -> None:
    for role in (Role.AGENT, Role.ENGINE, Role.MANAGER):
        identity = AUTHORITY.issue(CertificateSubject("x", role, "cluster1"), NOW)
        assert "role admin is required" in refusal(sign_in_token.make(identity, number="n", now=NOW))


def test_an_expired_certificate() -> None:
    later = NOW + timedelta(days=3650)
    assert refusal(sign_in_token.make(ADA, number="n", now=later), now=later).startswith("the client certificate")


def test_a_certificate_with_the_signature_of_another_key() -> None:
    bob = AUTHORITY.issue(CertificateSubject("bob", Role.ADMIN, "cluster1"), NOW)
    parts, bobs = token().split("."), sign_in_token.make(bob, number="n1", now=NOW).split(".")
    assert refusal(".".join((parts[0], bobs[1], parts[2], parts[3]))).startswith("this is not a sign-in token")


@pytest.mark.parametrize("text", ["", ".", "...", "shoal1.a.b.c", "shoal1.é.b.c", "x" * 9000, "shoal1.\0.\0.\0"])
def test_what_is_no_token(text: str) -> None:
    assert refusal(text).startswith("this is not a sign-in token")


def test_each_changed_character_is_found() -> None:
    good = token()
    for at in [*range(0, len(good), 5), *range(len(good) - 5, len(good))]:
        other = "A" if good[at] != "A" else "B"
        changed = good[:at] + other + good[at + 1 :]
        assert refusal(changed)
