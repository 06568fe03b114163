"""X.509 certificates of Shoal: keys, requests, and what a certificate says.

Subject: CN is the party's id, OU its role, O the cluster's id. Keys are on P-256 (RFC 5480); signatures are ECDSA
with SHA-256.
"""

import functools
import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shoal.errors import InvalidInput, Unauthenticated
from shoal.identity.roles import CertificateSubject, Role


def new_key() -> bytes:
    """A P-256 private key: PKCS #8 in PEM, not encrypted."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a private key.

    Raises:
        InvalidInput: it is not an unencrypted P-256 key in PEM.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise InvalidInput("the private key is not an unencrypted PEM key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("the private key does not use the curve P-256")
    return key


def key_to_der(pem: bytes) -> bytes:
    """The same private key as PKCS #8 in DER."""
    return load_key(pem).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_der(der: bytes) -> bytes:
    """The same private key as PKCS #8 in PEM."""
    return serialization.load_der_private_key(der, password=None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def request(key: bytes) -> bytes:
    """A certificate request (PKCS #10, PEM) for this key (PEM). Its subject is empty: the authority sets it.

    A renewal asks with the key that the identity has, so that certificate and key fit at every instant.
    """
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(load_key(key), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def requested_key(csr: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a request (PEM), once its signature proves that the sender has the private one.

    Raises:
        InvalidInput: it is not such a request.
    """
    try:
        parsed = x509.load_pem_x509_csr(csr)
        proven, key = parsed.is_signature_valid, parsed.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidInput("the certificate request is not PKCS #10 in PEM") from None
    if not proven:
        raise InvalidInput("the certificate request is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("the key of the certificate request does not use the curve P-256")
    return key


def key_digest(csr: bytes) -> bytes:
    """Fingerprint of the public key of a request (PEM): SHA-256 of it as SubjectPublicKeyInfo in DER.

    Raises:
        InvalidInput: as `requested_key`.
    """
    key = requested_key(csr)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()


def load_certificate(pem: bytes) -> x509.Certificate:
    """Read one certificate.

    Raises:
        InvalidInput: it is not a certificate in PEM.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise InvalidInput("not a PEM certificate") from None


@functools.lru_cache(maxsize=4096)
def subject_of(certificate: bytes) -> CertificateSubject:
    """Whom a certificate (PEM) names. It does not check who signed it: TLS has.

    Kept for the certificates asked for last: every call of a connection shows the same one.

    Raises:
        Unauthenticated: it is not of the form that Shoal's authority gives.
    """
    try:
        subject = load_certificate(certificate).subject
        identifier, role, cluster = (
            _only(subject, oid)
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME)
        )
        return CertificateSubject(id=identifier, role=Role(role), cluster=cluster)
    except (InvalidInput, ValueError):
        raise Unauthenticated("the certificate was not issued by a Shoal cluster") from None


def expires_at(certificate: bytes) -> datetime:
    """When the certificate (PEM) expires, in UTC."""
    return load_certificate(certificate).not_valid_after_utc


def expires_at_ms(certificate: bytes) -> int:
    """When it expires, milliseconds since the Unix epoch."""
    return int(expires_at(certificate).timestamp() * 1000)


def needs_renewal(certificate: bytes, now: datetime) -> bool:
    """Whether half of the certificate's life is over. `now` has a time zone."""
    parsed = load_certificate(certificate)
    lifetime = parsed.not_valid_after_utc - parsed.not_valid_before_utc
    return now >= parsed.not_valid_before_utc + lifetime / 2


def is_signed_by(certificate: bytes, ca: bytes) -> bool:
    """Whether this authority (PEM) signed the certificate (PEM)."""
    try:
        load_certificate(certificate).verify_directly_issued_by(load_certificate(ca))
    except (InvalidInput, InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def names_host(certificate: bytes, host: str) -> bool:
    """Whether the certificate (PEM) is of a server with this name or IP address."""
    extensions = load_certificate(certificate).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return any(str(each.value).lower() == host.lower() for each in names)


def key_matches(certificate: bytes, key: bytes) -> bool:
    """Whether the certificate (PEM) is of this private key (PEM)."""
    try:
        return load_certificate(certificate).public_key() == load_key(key).public_key()
    except InvalidInput:
        return False


def _only(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    (attribute,) = name.get_attributes_for_oid(oid)
    if not isinstance(attribute.value, str) or not attribute.value:
        raise ValueError("the attribute is not a text")
    return attribute.value
