"""Join tokens: the hash of the authority's certificate, and a secret.

What a token admits, and until when, is in its record, which managers have. The hash lets a new node know its cluster
before it reveals the secret to anybody.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import InvalidInput, Unavailable
from shoal.ids import ALPHABET, LENGTH

SECRET_LENGTH = 25
"""Characters of 5 bits: 125 bits."""

_FORM = re.compile(rf"SHOAL-1-([a-z2-7]{{52}})-([{ALPHABET}]{{{SECRET_LENGTH}}})")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")


@dataclass(frozen=True)
class JoinToken:
    """`SHOAL-1-<ca hash>-<secret>`.

    Attributes:
        ca_hash: SHA-256 of the authority's certificate in DER; lower-case base32 (RFC 4648) without padding.
        secret: 25 characters of Crockford base32.
    """

    ca_hash: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"SHOAL-1-{self.ca_hash}-{self.secret}"

    def matches_ca(self, ca: bytes) -> bool:
        """Whether this authority's certificate (PEM) is the one that the token is of."""
        return hmac.compare_digest(self.ca_hash, hash_of_ca(ca))


def parse(text: str) -> JoinToken:
    """Read a token that a user gave.

    Raises:
        InvalidInput: it is not a join token; the text is not repeated, as it may be half a secret.
    """
    text = text.strip()
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidInput(f"invalid join token: {_parse_error(text)}; create one with `shoal cluster join-token`")
    return JoinToken(*match.groups())


def read(token: str, file: Path | None) -> str:
    """The token that a user gave: the text, or where a file is named what is in it.

    Raises:
        Unavailable: the file cannot be read.
    """
    if file is None:
        return token
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"cannot read the token file {file}: {error}") from error


def new_secret() -> str:
    """A random secret from the operating system's generator."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def token_id(secret: str) -> str:
    """The id of the token's record: 65 bits of a digest, which reveal nothing of the secret."""
    digest = hashlib.sha256(b"id of a shoal join token: " + secret.encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:LENGTH])


def mac(key: bytes, secret: str) -> bytes:
    """What the record has of the secret: HMAC-SHA-256 (RFC 2104), 32 bytes."""
    return hmac.digest(key, secret.encode(), hashlib.sha256)


def same_mac(given: bytes, right: bytes) -> bool:
    """Compare in a time that reveals nothing of where they differ."""
    return hmac.compare_digest(given, right)


def hash_of_ca(ca: bytes) -> str:
    """The hash as tokens carry it.

    Raises:
        InvalidInput: this is not one certificate in PEM.
    """
    found = _PEM.findall(ca)
    if len(found) != 1:
        raise InvalidInput(f"the CA file must contain exactly one PEM certificate, found {len(found)}")
    try:
        der = base64.b64decode(b"".join(found[0].split()), validate=True)
    except ValueError:
        raise InvalidInput("the CA certificate is not valid PEM") from None
    return base64.b32encode(hashlib.sha256(der).digest()).decode().rstrip("=").lower()


def _parse_error(text: str) -> str:
    parts = text.split("-")
    if parts[0] != "SHOAL":
        return "it does not start with SHOAL-1-"
    if parts[1:2] != ["1"]:
        return "its version is not 1; this release does not match the cluster's"
    if len(parts) != 4:
        return f"it has {len(parts)} parts instead of 4; it may be incomplete"
    if len(parts[2]) != 52 or len(parts[3]) != SECRET_LENGTH:
        return "a part has the wrong length; it may be incomplete"
    return "it contains invalid characters"
