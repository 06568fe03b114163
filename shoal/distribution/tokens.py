"""Bearer tokens, each for the origin that asked for it, kept until they run out.

Distribution "Token Authentication Specification": the realm takes service and scopes and answers with a token.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shoal.distribution.untrusted_json import parse_object
from shoal.errors import InvalidInput, Unauthenticated

Scopes = tuple[str, ...]
"""`repository:<path>:<actions>`, one for each repository that a request touches."""

DEFAULT_LIFETIME_SECONDS = 60.0
"""Where the answer has no `expires_in`, and the least that is believed; the specification's value."""

MAX_LIFETIME_SECONDS = 3600.0
"""No token is kept for longer, whatever its server says."""

MAX_TOKEN_LENGTH = 32 << 10
"""Characters; it goes into a header of each request."""

_MARGIN = 0.8
_MAX_TOKENS = 256


@dataclass(frozen=True)
class BearerToken:
    """A token and the monotonic time in seconds after which it is not used any more."""

    text: str
    expires: float


class TokenCache:
    """The tokens that one origin has asked for, by scopes. Bounded: the oldest go first."""

    def __init__(self) -> None:
        self._tokens: dict[Scopes, BearerToken] = {}

    def get(self, scopes: Scopes, now: float) -> str | None:
        """A token that is still good."""
        token = self._tokens.get(scopes)
        return token.text if token and now < token.expires else None

    def put(self, scopes: Scopes, token: BearerToken) -> None:
        """Keep a token in place of an older one."""
        self._tokens.pop(scopes, None)
        while len(self._tokens) >= _MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[scopes] = token

    def drop(self, scopes: Scopes, refused: str) -> None:
        """Forget a token that the registry did not take, unless another call has got a new one since.

        Args:
            refused: the `Authorization` header that was sent.
        """
        token = self._tokens.get(scopes)
        if token and refused == f"Bearer {token.text}":
            del self._tokens[scopes]


def token_query(parameters: Mapping[str, str], scopes: Scopes) -> list[tuple[str, str]]:
    """Query of a token request: the scopes that we want, else the one that the challenge names."""
    requested = scopes or tuple(filter(None, [parameters.get("scope", "")]))
    service = [("service", parameters["service"])] if "service" in parameters else []
    return service + [("scope", scope) for scope in requested]


def token_form(parameters: Mapping[str, str], scopes: Scopes) -> dict[str, str]:
    """The same for an identity token, which is sent in a form; without that token."""
    pairs = token_query(parameters, scopes)
    service = next((value for key, value in pairs if key == "service"), "")
    scope = " ".join(value for key, value in pairs if key == "scope")
    form = {"grant_type": "refresh_token", "client_id": "shoal", "service": service}
    return form | ({"scope": scope} if scope else {})


def parse_token(content: bytes, now: float, *, realm: str) -> BearerToken:
    """The token in a realm's answer.

    Raises:
        Unauthenticated: the answer holds none.
    """
    try:
        document = parse_object(content, "the answer")
        text = document.get("token") or document.get("access_token")
        lifetime = float(str(document.get("expires_in") or DEFAULT_LIFETIME_SECONDS))
        if math.isnan(lifetime):
            raise InvalidInput("expires_in is not a number")
    except (InvalidInput, ValueError) as error:
        raise Unauthenticated(f"token server {realm} returned an invalid response; check its address") from error
    if not isinstance(text, str) or not text or not (text.isascii() and text.isprintable()):
        raise Unauthenticated(
            f"token server {realm} returned no token; check username and password_file in registries.toml"
        )
    if len(text) > MAX_TOKEN_LENGTH:
        raise Unauthenticated(
            f"token server {realm} returned a token of {len(text)} characters; the maximum is {MAX_TOKEN_LENGTH}"
        )
    kept = min(max(lifetime, DEFAULT_LIFETIME_SECONDS), MAX_LIFETIME_SECONDS)
    return BearerToken(text, now + kept * _MARGIN)
