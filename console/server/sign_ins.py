"""Signing in: by the one-time token in a local console's address, or by a token of `shoal console token`."""

import hmac
import secrets
from collections.abc import Callable
from datetime import datetime

from console.server.sessions import Session, session_for
from shoal.errors import Busy, Unauthenticated
from shoal.identity import sign_in_token
from shoal.identity.roles import Role

BUSY_SECONDS = 60.0
MAX_USED = 10_000
"""Tokens of five minutes."""


class SignIns:
    """Checks tokens, each of which is good once.

    None can be guessed, so wrong ones are not counted: a bound would let anybody keep others out.

    Args:
        authority: certificate of the cluster's authority (PEM).
        now: the clock, with a time zone.
    """

    def __init__(self, *, authority: bytes, now: Callable[[], datetime]) -> None:
        self._authority = authority
        self._now = now
        self._used: dict[str, datetime] = {}
        self._one_time: dict[str, tuple[str, Role, datetime]] = {}
        self._opened: set[str] = set()

    def one_time_token(self, user: str, role: Role, *, certificate_until: datetime) -> str:
        """A new token for the address that is opened in a browser of this machine's user.

        Args:
            certificate_until: when the certificate of the user's context expires.
        """
        token = secrets.token_urlsafe(32)
        self._one_time[token] = (user, role, certificate_until)
        return token

    def sign_in(self, token: str) -> Session:
        """The session that a token is good for.

        Raises:
            Unauthenticated: it is not good, or was used. Busy: too many people sign in at once.
        """
        now = self._now()
        for known in self._one_time:
            if hmac.compare_digest(known.encode(), token.encode(errors="replace")):
                return self._open(known, now)
        found = sign_in_token.check(token, authority=self._authority, now=now)
        self._use(found, now)
        return session_for(found.subject.id, found.subject.role, now=now, certificate_until=found.certificate_until)

    def _open(self, token: str, now: datetime) -> Session:
        """By the token of an address."""
        if token in self._opened:
            raise Unauthenticated("the address was used already; `shoal console token` prints a token to sign in with")
        self._opened.add(token)
        user, role, until = self._one_time[token]
        return session_for(user, role, now=now, certificate_until=until)

    def _use(self, found: sign_in_token.SignIn, now: datetime) -> None:
        self._used = {number: until for number, until in self._used.items() if until >= now}
        if found.number in self._used:
            raise Unauthenticated("the token was used already; `shoal console token` prints a new one")
        if len(self._used) >= MAX_USED:
            raise Busy("too many people sign in at once; try again in a minute", BUSY_SECONDS)
        self._used[found.number] = found.until
