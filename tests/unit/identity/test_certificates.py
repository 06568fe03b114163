"""What the authority signs, and what a certificate says."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shoal.errors import InvalidInput, Unauthenticated
from shoal.identity import certificates
from shoal.identity.authority import ADMIN_LIFETIME, CA_LIFETIME, CLOCK_SKEW, NODE_LIFETIME, Authority
from shoal.identity.roles import CertificateSubject, Role, server_names

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHORITY = Authority.create("cluster1", NOW)


def _issue(role: Role, identifier: str = "party1") -> bytes:
    return AUTHORITY.issue(CertificateSubject(identifier, role, "cluster1"), NOW).certificate


@pytest.mark.parametrize("role", list(Role))
def test_a_certificate_names_its_caller(role: Role) -> None:
    caller = CertificateSubject("party1", role, "cluster1")
    assert certificates.subject_of(_issue(role)) == caller


@pytest.mark.parametrize("role", list(Role))
def test_a_certificate_is_good_for_the_server_names_of_its_role_only(role: Role) -> None:
    parsed = x509.load_pem_x509_certificate(_issue(role))
    expected = server_names(CertificateSubject("party1", role, "cluster1"))
    if not expected:
        with pytest.raises(x509.ExtensionNotFound):
            parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == expected


@pytest.mark.parametrize(
    ("role", "lifetime"),
    [
        (Role.MANAGER, NODE_LIFETIME),
        (Role.AGENT, NODE_LIFETIME),
        (Role.ADMIN, ADMIN_LIFETIME),
        (Role.ENGINE, ADMIN_LIFETIME),
    ],
)
def test_lifetimes_begin_an_hour_early(role: Role, lifetime: timedelta) -> None:
    parsed = x509.load_pem_x509_certificate(_issue(role))
    assert parsed.not_valid_before_utc == NOW - CLOCK_SKEW
    assert parsed.not_valid_after_utc == NOW + lifetime


def test_the_authority_signs_leaves_and_no_further_authorities() -> None:
    parsed = x509.load_pem_x509_certificate(AUTHORITY.certificate)
    constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert parsed.not_valid_after_utc == NOW + CA_LIFETIME
    leaf = x509.load_pem_x509_certificate(_issue(Role.MANAGER))
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_signature_is_told_from_a_foreign_one() -> None:
    foreign = Authority.create("cluster1", NOW)
    assert certificates.is_signed_by(_issue(Role.AGENT), AUTHORITY.certificate)
    assert not certificates.is_signed_by(_issue(Role.AGENT), foreign.certificate)


def test_renewal_is_due_after_half_of_the_life() -> None:
    certificate = _issue(Role.AGENT)
    half = NOW - CLOCK_SKEW + (NODE_LIFETIME + CLOCK_SKEW) / 2
    assert not certificates.needs_renewal(certificate, half - timedelta(seconds=1))
    assert certificates.needs_renewal(certificate, half)
    assert certificates.expires_at(certificate) == NOW + NODE_LIFETIME


def test_what_a_request_asks_for_beside_its_key_is_not_looked_at() -> None:
    key = certificates.load_key(certificates.new_key())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "admin")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    caller = CertificateSubject("node1", Role.AGENT, "cluster1")
    signed = AUTHORITY.sign(csr, caller, NOW)
    assert certificates.subject_of(signed) == caller
    constraints = x509.load_pem_x509_certificate(signed).extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca


def _request_with(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_requests_with_other_keys_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(InvalidInput, match="P-256"):
            certificates.requested_key(_request_with(key))


def test_a_request_must_be_signed_by_its_own_key() -> None:
    der = x509.load_pem_x509_csr(certificates.request(certificates.new_key())).public_bytes(serialization.Encoding.DER)
    forged = x509.load_der_x509_csr(der[:-1] + bytes([der[-1] ^ 1])).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(InvalidInput, match="own key"):
        certificates.requested_key(forged)


@pytest.mark.parametrize(
    "text", [b"", b"nonsense", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        certificates.requested_key(text)


def test_a_certificate_of_another_form_names_nobody() -> None:
    with pytest.raises(Unauthenticated):
        certificates.subject_of(AUTHORITY.certificate)
    with pytest.raises(Unauthenticated):
        certificates.subject_of(b"nonsense")


def test_a_key_survives_the_two_encodings() -> None:
    key = certificates.new_key()
    assert certificates.key_from_der(certificates.key_to_der(key)) == key
