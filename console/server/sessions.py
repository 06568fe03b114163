"""Sessions of people who have signed in: a signed cookie and nothing on the server. Pure: no I/O and no clock."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shoal.identity.roles import Role

MAX_AGE = timedelta(hours=12)
MAX_COOKIE = 2048
KEY_BYTES = 32


@dataclass(frozen=True)
class Session:
    """Who uses a browser.

    Attributes:
        user: name, as in the certificate.
        until: it ends then.
    """

    user: str
    role: Role
    until: datetime


class SessionSigner:
    """Makes and reads cookies.

    Args:
        key: of `KEY_BYTES`; whoever has it can sign in as anybody.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {KEY_BYTES} bytes is required")
        self._key = key

    def cookie_of(self, session: Session) -> str:
        """The value of the cookie."""
        document = {"user": session.user, "role": session.role, "until": int(session.until.timestamp())}
        claims = base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=")
        return f"{claims.decode()}.{self._signature(claims)}"

    def session_of(self, cookie: str, now: datetime) -> Session | None:
        """The session of a cookie; None: it is not one of this console's, or has ended."""
        claims, _, signature = cookie.partition(".")
        if len(cookie) > MAX_COOKIE or not hmac.compare_digest(
            self._signature(claims.encode(errors="replace")).encode(), signature.encode(errors="replace")
        ):
            return None
        try:
            document = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
            until = datetime.fromtimestamp(document["until"], UTC)
            session = Session(document["user"], Role(document["role"]), until)
        except (ValueError, KeyError, TypeError, binascii.Error):
            return None  # signed by an older version of the console
        return session if now < session.until else None

    def _signature(self, claims: bytes) -> str:
        return hmac.new(self._key, b"console session:" + claims, hashlib.sha256).hexdigest()


def session_for(user: str, role: Role, *, now: datetime, certificate_until: datetime) -> Session:
    """A new session; it ends no later than the certificate that it was begun with."""
    return Session(user, role, min(now + MAX_AGE, certificate_until))
