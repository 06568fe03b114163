"""Authentication at one endpoint of a registry: by password, or by tokens of the server that it names.

Both are for that endpoint's origin alone. The token server may be another host, as with Docker Hub's `auth.docker.io`:
whoever answers for the endpoint's own origin says which (Docker's client reads it from the endpoint's `/v2/`).
"""

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import httpx

from shoal.distribution.bounded_bodies import read_body, read_error_body
from shoal.distribution.bounded_connections import ConnectionBroken, Connections
from shoal.distribution.bounded_network import ForbiddenHost
from shoal.distribution.credentials import basic_for, parse_challenge
from shoal.distribution.origins import UrlOrigin, named_url, origin_of
from shoal.distribution.reachability import Reach, literal_reach
from shoal.distribution.refusals import foreign_refusal, refusal
from shoal.distribution.registries import RegistrySettings
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.tokens import BearerToken, Scopes, TokenCache, parse_token, token_form, token_query
from shoal.errors import InvalidInput, Unauthenticated, Unavailable

_MAX_TOKEN_BYTES = 128 << 10


class RegistryLogin:
    """Answers the challenges of one origin.

    Args:
        origin: the endpoint's; nobody else's challenges may be brought here.
    """

    def __init__(
        self,
        registry: RegistrySettings,
        origin: UrlOrigin,
        *,
        connections: Connections,
        policy: RetryPolicy,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._origin = origin
        self._connections = connections
        self._policy = policy
        self._clock = clock
        self._tokens = TokenCache()
        self._basic = False
        self._lock = asyncio.Lock()

    def cached_header(self, scopes: Scopes) -> str | None:
        """What the origin will ask for, so that the first try has it: an `Authorization` header."""
        if self._basic:
            return basic_for(self._registry)
        token = self._tokens.get(scopes, self._clock())
        return f"Bearer {token}" if token else None

    async def answer_challenge(self, header: str, scopes: Scopes, sent: str | None, what: str) -> str | None:
        """The `Authorization` header for a challenge; None where there is nothing new to answer with.

        Args:
            header: `WWW-Authenticate` of a 401 of the origin itself.
            sent: the `Authorization` that was refused.
        Raises:
            Unauthenticated, PermissionDenied, Unavailable: there is no token, or its server must not be asked.
        """
        self._tokens.drop(scopes, sent or "")
        challenge = parse_challenge(header)
        if challenge.scheme == "basic":
            self._basic = True
            ours = basic_for(self._registry)
            return ours if ours != sent else None
        if challenge.scheme != "bearer" or "realm" not in challenge.parameters:
            return None
        async with self._lock:  # many layers at once need one token
            known = self._tokens.get(scopes, self._clock())
            return f"Bearer {known or await self._token(challenge.parameters, scopes, what)}"

    async def _token(self, parameters: Mapping[str, str], scopes: Scopes, what: str) -> str:
        realm = self._realm(parameters["realm"])
        query = httpx.QueryParams(tuple(token_query(parameters, scopes)))
        try:
            if self._registry.identity_token:
                token = await self._exchange(realm, token_form(parameters, scopes), what)
            else:
                token = await self._fetch(realm.copy_merge_params(query), what)
        except ForbiddenHost as error:
            raise Unauthenticated(
                f"registry {self._origin} names token server {origin_of(realm)}, which is in a more private network; "
                "to allow it, add it to allowed_hosts of the registry in registries.toml"
            ) from error
        except (ConnectionBroken, ValueError) as error:
            raise Unavailable(f"{self._server(realm)} is unreachable: {error}") from error
        self._tokens.put(scopes, token)
        return token.text

    async def _fetch(self, url: httpx.URL, what: str) -> BearerToken:
        authorization = basic_for(self._registry)
        response = await self._connections.send(
            "GET", url, {"Authorization": authorization} if authorization else {}, None
        )
        return await self._read_token(response, url, what)

    async def _exchange(self, url: httpx.URL, form: Mapping[str, str], what: str) -> BearerToken:
        """A token for the identity token (distribution, "Authenticating with OAuth2")."""
        body = urlencode({**form, "refresh_token": self._registry.identity_token}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
        return await self._read_token(await self._connections.send("POST", url, headers, body), url, what)

    async def _read_token(self, response: httpx.Response, url: httpx.URL, what: str) -> BearerToken:
        try:
            if response.status_code != 200:
                raise await self._refused(response, url, what)
            seconds, name = self._policy.response_seconds, f"a token for {what}"
            content = await read_body(response, limit=_MAX_TOKEN_BYTES, seconds=seconds, what=name)
        finally:
            await response.aclose()
        return parse_token(content, self._clock(), realm=_shown(url))

    async def _refused(self, response: httpx.Response, url: httpx.URL, what: str) -> Exception:
        """Its text is shown where it is the registry's own."""
        status, host, own = response.status_code, str(origin_of(url)), origin_of(url) == self._origin
        if own or status in (401, 403):
            body = await read_error_body(response, seconds=self._policy.response_seconds, what=what) if own else b""
            return refusal(status, body, what=what, host=str(self._origin))
        return foreign_refusal(status, what=f"a token for {what}", host=host, registry=str(self._origin))

    def _realm(self, text: str) -> httpx.URL:
        try:
            realm = named_url(text)
        except InvalidInput as error:
            raise Unauthenticated(f"registry {self._origin} names an invalid token server: {error}") from error
        if realm.scheme != "https" and not self._may_be_plain(realm):
            raise Unauthenticated(
                f"registry {self._origin} names a token server without HTTPS, {_shown(realm)}, which is not allowed"
            )
        return realm

    def _may_be_plain(self, realm: httpx.URL) -> bool:
        """Where the registry is without HTTPS as well; one on this host says nothing about the network around it."""
        if self._origin.scheme == "https":
            return False
        there = literal_reach(origin_of(realm).host)
        return there is Reach.LOOPBACK or literal_reach(self._origin.host) is not Reach.LOOPBACK

    def _server(self, realm: httpx.URL) -> str:
        return f"token server {_shown(realm)} of registry {self._origin}"


def _shown(url: httpx.URL) -> str:
    """Without its query, which may hold secrets."""
    return str(url.copy_with(query=None, fragment=None))
