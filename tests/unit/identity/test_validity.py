"""Validity as we read it, against the library that the command line cannot afford."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InvalidInput
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.identity.validity import validity_period

SECONDS = st.integers(631_152_000, 3_155_760_000)
"""Of the years 1990 to 2070: both forms of time that certificates have."""


@settings(max_examples=30, deadline=None)
@given(SECONDS)
def test_it_is_what_cryptography_reads(seconds: int) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    authority = Authority.create("c", now)
    for certificate in (
        authority.certificate,
        authority.issue(CertificateSubject("a" * 64, Role.ADMIN, "c"), now).certificate,
    ):
        parsed = certificates.load_certificate(certificate)
        assert validity_period(certificate) == (parsed.not_valid_before_utc, parsed.not_valid_after_utc)
        assert validity_period(certificate)[1] > now + timedelta(days=89)


CERTIFICATE = Authority.create("c", datetime(2026, 1, 1, tzinfo=UTC)).certificate


@given(st.integers(0, len(CERTIFICATE) - 1), st.integers(0, 255))
def test_a_damaged_one_is_refused_or_read(at: int, byte: int) -> None:
    damaged = CERTIFICATE[:at] + bytes([byte]) + CERTIFICATE[at + 1 :]
    try:
        begin, end = validity_period(damaged)
    except InvalidInput:
        return
    assert begin.tzinfo is end.tzinfo is UTC


@pytest.mark.parametrize(
    "text", [b"", b"nonsense", CERTIFICATE[:200], b"-----BEGIN CERTIFICATE----------END CERTIFICATE-----"]
)
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        validity_period(text)
