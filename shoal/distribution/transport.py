"""Requests to one registry: authenticated, redirected, tried again, and with errors that a user can read.

This module imports httpx, which costs 86 ms and 5 MB: the agent and the command line import it at the first request.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from shoal.distribution.answers import refusal
from shoal.distribution.credentials import basic_for, parse_challenge
from shoal.distribution.registries import Registry
from shoal.distribution.retrying import RETRIED_STATUSES, RetryPolicy
from shoal.distribution.tokens import Scopes, TokenCache, parse_token, token_query
from shoal.errors import InvalidInput, Unauthenticated, Unavailable

_log = logging.getLogger(__name__)
_MAX_REDIRECTS = 5
_MAX_ERROR_BYTES = 64 << 10
_MAX_TOKEN_BYTES = 1 << 20
_BROKEN = (httpx.HTTPError, httpx.InvalidURL, ValueError)
"""What a connection that breaks raises, and an answer that makes no sense: in HTTP, or in a URL that it names."""

Body = bytes | Callable[[], AsyncIterator[bytes]]
"""A request's body; a stream is made anew for each try."""


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        target: path with query under the endpoint, or a whole URL that the registry gave us.
        what: the thing asked for, for error texts.
        expect: statuses that are a success; any other becomes an error.
    """

    method: str
    target: str
    what: str
    scopes: Scopes
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    expect: frozenset[int] = frozenset({200})


class Transport:
    """Connections to one registry. Belongs to one event loop; `aclose` it at the end."""

    def __init__(
        self,
        registry: Registry,
        *,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.registry = registry
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._tokens = TokenCache()
        self._basic = False
        self._token_lock = asyncio.Lock()
        self._trust = _Trust(registry)
        timeout = httpx.Timeout(policy.idle_seconds, connect=policy.connect_seconds)
        plain = {"Accept-Encoding": "identity"}
        self._client = httpx.AsyncClient(verify=self._trust.context, timeout=timeout, trust_env=True, headers=plain)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncGenerator[httpx.Response]:
        """The answer, its body still to be read.

        Raises:
            NotFound, Unauthenticated, PermissionDenied, InvalidInput: the registry refuses.
            Unavailable: it cannot be reached, or fails, at all its endpoints and after all tries. A connection that
                breaks while the body is read is an `Unavailable` as well, raised where it is read.
        """
        response = await self._answer(call)
        try:
            yield response
        except httpx.HTTPError as error:
            raise self._broken(call, str(response.request.url), error) from error
        finally:
            await response.aclose()

    async def send(self, call: Call, *, limit: int = _MAX_ERROR_BYTES) -> tuple[httpx.Response, bytes]:
        """The answer with its body of at most `limit` bytes. Raises as `stream` does."""
        async with self.stream(call) as response:
            return response, await self._read(response, limit, call.what)

    async def _answer(self, call: Call) -> httpx.Response:
        """Try each endpoint in turn until one answers; what a registry decides (no such image) is not asked again."""
        whole = urlsplit(call.target).scheme != ""
        urls = [call.target] if whole else [endpoint + call.target for endpoint in self.registry.endpoints]
        for url in urls[:-1]:
            try:
                return await self._patiently(call, url)
            except Unavailable as error:
                _log.warning("%s; trying the next endpoint", error)
        return await self._patiently(call, urls[-1])

    async def _patiently(self, call: Call, url: str) -> httpx.Response:
        for failures in range(1, self._policy.attempts + 1):
            retry_after = ""
            try:
                response = await self._authenticated(call, url)
            except _BROKEN as error:
                if failures == self._policy.attempts:
                    raise self._broken(call, url, error) from error
            else:
                if response.status_code in call.expect:
                    return response
                if response.status_code not in RETRIED_STATUSES or failures == self._policy.attempts:
                    raise await self._refused(call, response)
                retry_after = response.headers.get("Retry-After", "")
                await response.aclose()
            await self._sleep(self._policy.delay(failures, retry_after))
        raise AssertionError("a policy has at least one attempt")

    async def _authenticated(self, call: Call, url: str) -> httpx.Response:
        """One try; a challenge is answered once."""
        sent = self._authorization(call.scopes)
        response = await self._redirected(call, url, sent)
        if response.status_code != 401:
            return response
        header = response.headers.get("WWW-Authenticate", "")
        body = await self._said(response, call)
        self._tokens.drop(call.scopes, sent or "")
        authorization = await self._login(header, call, url, sent)
        if authorization is None:
            raise refusal(401, body, what=call.what, host=_host(url))
        return await self._redirected(call, url, authorization)

    async def _redirected(self, call: Call, url: str, authorization: str | None) -> httpx.Response:
        """Follow redirects of reads; credentials stay with the host that asked for them."""
        origin, headers = _origin(url), dict(call.headers)
        for _ in range(_MAX_REDIRECTS):
            ours = {"Authorization": authorization} if authorization and _origin(url) == origin else {}
            content = call.body if isinstance(call.body, bytes) else call.body()
            self._trust.ready_for(url)
            request = self._client.build_request(call.method, url, headers={**headers, **ours}, content=content or None)
            response = await self._client.send(request, stream=True, auth=None, follow_redirects=False)
            if not response.has_redirect_location or call.method not in ("GET", "HEAD"):
                return response
            await response.aclose()
            target = str(response.url.join(response.headers["Location"]))
            if url.startswith("https:") and not target.startswith("https:"):
                raise Unavailable(f"registry {_host(url)} redirects from HTTPS to {target}; refusing to go there")
            url = target
        raise Unavailable(f"registry {_host(url)} redirects more than {_MAX_REDIRECTS} times for {call.what}")

    def _authorization(self, scopes: Scopes) -> str | None:
        """What we know will be asked for, so that the first try does."""
        if self._basic:
            return basic_for(self.registry)
        token = self._tokens.get(scopes, self._clock())
        return f"Bearer {token}" if token else None

    async def _login(self, header: str, call: Call, url: str, sent: str | None) -> str | None:
        """Answer a challenge; None where we have nothing to answer with."""
        challenge = parse_challenge(header)
        if challenge.scheme == "basic":
            self._basic = True
            ours = basic_for(self.registry)
            return ours if ours != sent else None
        if challenge.scheme != "bearer" or "realm" not in challenge.parameters:
            return None
        async with self._token_lock:  # many layers at once need one token
            known = self._tokens.get(call.scopes, self._clock())
            return f"Bearer {known or await self._fetch_token(challenge.parameters, call, url)}"

    async def _fetch_token(self, parameters: Mapping[str, str], call: Call, url: str) -> str:
        realm = parameters["realm"]
        if url.startswith("https:") and not realm.startswith("https:"):
            raise Unauthenticated(
                f"registry {_host(url)} names a token server without HTTPS, {realm}; refusing to use it"
            )
        authorization = basic_for(self.registry)
        headers = {"Authorization": authorization} if authorization else {}
        self._trust.ready_for(realm)
        try:
            query = httpx.QueryParams(tuple(token_query(parameters, call.scopes)))
            async with self._client.stream("GET", realm, params=query, headers=headers) as response:
                content = await self._read(response, _MAX_TOKEN_BYTES, f"a token for {call.what}")
        except _BROKEN as error:
            raise Unavailable(
                f"token server {realm} of registry {_host(url)} cannot be reached: {_text(error)}"
            ) from error
        if response.status_code != 200:
            raise refusal(response.status_code, content, what=call.what, host=_host(url))
        token = parse_token(content, self._clock(), realm=realm)
        self._tokens.put(call.scopes, token)
        return token.text

    async def _refused(self, call: Call, response: httpx.Response) -> Exception:
        body = await self._said(response, call)
        return refusal(response.status_code, body, what=call.what, host=_host(str(response.url)))

    async def _said(self, response: httpx.Response, call: Call) -> bytes:
        """The body of a refusal, which is no loss where it cannot be read. Ends the answer."""
        try:
            return await self._read(response, _MAX_ERROR_BYTES, call.what)
        except (*_BROKEN, InvalidInput, Unavailable):
            return b""
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response, limit: int, what: str) -> bytes:
        """The body as it came. None was asked to be compressed: a few bytes could become as many as fill the memory."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise InvalidInput(
                f"the registry's answer for {what} is encoded as {encoding[:40]!a}, which nobody asked for"
            )
        found = bytearray()
        try:
            async with asyncio.timeout(self._policy.answer_seconds):
                async for chunk in response.aiter_raw():
                    found += chunk
                    if len(found) > limit:
                        raise InvalidInput(f"the registry's answer for {what} has more than the {limit} bytes taken")
        except TimeoutError:
            raise Unavailable(f"the registry's answer for {what} did not end in time") from None
        return bytes(found)

    def _broken(self, call: Call, url: str, error: Exception) -> Unavailable:
        return Unavailable(f"registry {_host(url)} cannot be reached for {call.what}: {_text(error)}")


class _Trust:
    """Whom to believe: the registry's own authority, else the system's.

    Reading the system's takes 30 ms and 2 MB, so that is left to the first request that needs it.
    """

    def __init__(self, registry: Registry) -> None:
        self._system = registry.ca_file is None
        try:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if registry.ca_file is not None:
                self.context.load_verify_locations(cafile=str(registry.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"ca_file {registry.ca_file} of registry {registry.domain} cannot be used: {error}"
            ) from error

    def ready_for(self, url: str) -> None:
        """Before each request."""
        if self._system and url.startswith("https:"):
            self.context.load_default_certs()
            self._system = False


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
