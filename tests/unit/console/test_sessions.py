"""Cookies, and tokens that are good once."""

from datetime import UTC, datetime, timedelta

import pytest

from console.server.sessions import MAX_AGE, Session, SessionSigner, session_for
from console.server.sign_ins import SignIns
from shoal.errors import Busy, Unauthenticated
from shoal.identity import sign_in_token
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
AUTHORITY = Authority.create("cluster1", NOW - timedelta(days=1))
ADA = AUTHORITY.issue(CertificateSubject("ada", Role.ADMIN, "cluster1"), NOW)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


def sign_ins(clock: Clock | None = None) -> SignIns:
    return SignIns(authority=AUTHORITY.certificate, now=clock or Clock())


def test_a_cookie_and_back() -> None:
    signer, session = SessionSigner(bytes(32)), session_for("ada", Role.ADMIN, now=NOW, certificate_until=NOW + MAX_AGE)
    assert signer.session_of(signer.cookie_of(session), NOW) == session
    assert signer.session_of(signer.cookie_of(session), NOW + MAX_AGE) is None


def test_a_session_ends_with_the_certificate() -> None:
    until = NOW + timedelta(hours=1)
    assert session_for("ada", Role.ADMIN, now=NOW, certificate_until=until).until == until


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "é.é", "\ud800.x", "x" * 5000])
def test_what_is_no_cookie(cookie: str) -> None:
    assert SessionSigner(bytes(32)).session_of(cookie, NOW) is None


def test_a_cookie_of_another_key_or_another_user() -> None:
    signer, other = SessionSigner(bytes(32)), SessionSigner(b"x" * 32)
    cookie = signer.cookie_of(Session("ada", Role.ADMIN, NOW + MAX_AGE))
    assert other.session_of(cookie, NOW) is None
    bobs = signer.cookie_of(Session("bob", Role.ADMIN, NOW + MAX_AGE))
    assert signer.session_of(f"{bobs.partition('.')[0]}.{cookie.partition('.')[2]}", NOW) is None


def test_the_token_in_an_address_is_good_once() -> None:
    signed = sign_ins()
    token = signed.one_time_token("ada", Role.ADMIN, certificate_until=NOW + MAX_AGE)
    assert signed.sign_in(token).user == "ada"
    with pytest.raises(Unauthenticated, match="the address was used already"):
        signed.sign_in(token)


def test_a_token_of_the_command_line_is_good_once() -> None:
    signed, token = sign_ins(), sign_in_token.make(ADA, number="n1", now=NOW)
    assert signed.sign_in(token).user == "ada"
    with pytest.raises(Unauthenticated, match="was used already"):
        signed.sign_in(token)
    assert signed.sign_in(sign_in_token.make(ADA, number="n2", now=NOW)).user == "ada"


def test_many_wrong_tokens_keep_nobody_out() -> None:
    signed = sign_ins()
    for _ in range(1000):
        with pytest.raises(Unauthenticated):
            signed.sign_in("guess")
    assert signed.sign_in(sign_in_token.make(ADA, number="n1", now=NOW)).user == "ada"


def test_used_tokens_are_forgotten_when_they_are_too_old_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.server.sign_ins.MAX_USED", 1)
    clock = Clock()
    signed = sign_ins(clock)
    signed.sign_in(sign_in_token.make(ADA, number="n1", now=NOW))
    with pytest.raises(Busy):
        signed.sign_in(sign_in_token.make(ADA, number="n2", now=NOW))
    clock.time += sign_in_token.VALID + timedelta(seconds=1)
    assert signed.sign_in(sign_in_token.make(ADA, number="n3", now=clock.time)).user == "ada"
