"""Tokens that a user's context makes and a console of the cluster checks: who signs in, without a password anywhere.

A token is `shoal1.CERTIFICATE.CLAIMS.SIGNATURE`, each base64url without padding: the user's certificate (DER), a JSON
document and an ECDSA signature with SHA-256 (RFC 3279) over all that stands before its dot. Pure: no I/O and no clock.
"""

import base64
import binascii
import json
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shoal.errors import InvalidInput, Unauthenticated
from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role

PREFIX = "shoal1"
VALID = timedelta(minutes=5)
"""From making a token to signing in with it."""
MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)
MAX_LENGTH = 8192
_PURPOSE = "console sign-in"
_REFUSAL = "this is not a sign-in token; `shoal console token` prints one"


@dataclass(frozen=True)
class SignIn:
    """What a good token says.

    Attributes:
        subject: the user, by the certificate.
        number: unique: a console takes each token once.
        until: after this the token is no longer good.
        certificate_until: when the user's certificate expires.
    """

    subject: CertificateSubject
    number: str
    until: datetime
    certificate_until: datetime


def make(identity: Identity, *, number: str, now: datetime) -> str:
    """A token for the user of this identity.

    Args:
        number: a random text that no other token has.
    """
    claims = {"for": _PURPOSE, "number": number, "made": int(now.timestamp())}
    certificate = ssl.PEM_cert_to_DER_cert(identity.certificate.decode())
    signed = ".".join((PREFIX, _encode(certificate), _encode(json.dumps(claims).encode())))
    signature = certificates.load_key(identity.key).sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    return f"{signed}.{_encode(signature)}"


def check(token: str, *, authority: bytes, now: datetime) -> SignIn:
    """Who signs in.

    Args:
        authority: certificate of the cluster's authority (PEM).
    Raises:
        Unauthenticated: the token is no token, or too old, or of another cluster.
    """
    certificate, claims = _verified(token.strip(), authority)
    try:
        document = json.loads(claims)
        number, made = str(document["number"]), datetime.fromtimestamp(int(document["made"]), now.tzinfo)
        if document["for"] != _PURPOSE:
            raise ValueError("made for something else")
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        raise Unauthenticated(_REFUSAL) from None
    loaded = certificates.load_certificate(certificate)
    if not loaded.not_valid_before_utc <= now <= loaded.not_valid_after_utc:
        raise Unauthenticated("the client certificate of the token has expired; get a new one from a manager's host")
    if not made - MAX_CLOCK_DIFFERENCE <= now <= made + VALID:
        raise Unauthenticated("the token has expired; `shoal console token` prints a new one")
    subject = certificates.subject_of(certificate)
    if subject.role is not Role.ADMIN:
        raise Unauthenticated(f"role {subject.role} may not sign in; role admin is required")
    return SignIn(subject, number, made + VALID, loaded.not_valid_after_utc)


def _verified(token: str, authority: bytes) -> tuple[bytes, bytes]:
    """Certificate (PEM) and claims of a token that the authority's user has signed; nothing of it is read before that.

    Raises:
        Unauthenticated: it is none.
    """
    signed, _, signature = token.rpartition(".")
    parts = signed.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3 or parts[0] != PREFIX:
        raise Unauthenticated(_REFUSAL)
    try:
        certificate = ssl.DER_cert_to_PEM_cert(_decode(parts[1])).encode()
        key = certificates.load_certificate(certificate).public_key()
        if not certificates.is_signed_by(certificate, authority):
            raise Unauthenticated("the token is of another cluster; make one with a context of this cluster")
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("another kind of key")
        key.verify(_decode(signature), signed.encode(), ec.ECDSA(hashes.SHA256()))
        return certificate, _decode(parts[2])
    except (ValueError, TypeError, InvalidInput, InvalidSignature, UnsupportedAlgorithm):
        raise Unauthenticated(_REFUSAL) from None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """Raises ValueError: it is not what `_encode` makes, to the last bit."""
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if _encode(found) != text:
        raise ValueError("not canonical base64url")
    return found
