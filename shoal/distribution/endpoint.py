"""One attempt of a request at one endpoint of a registry: authentication, redirects, errors.

What is the endpoint's own: its origin. Only there do credentials go, only from there are challenges obeyed and texts
shown. Hosts that it leads to get a request without any of that, over HTTPS where the endpoint has it, at addresses that
are no less public than the endpoint's (`addresses`), and are told apart by their status alone.
"""

import asyncio
from collections.abc import Callable

import httpx

from shoal.distribution.bounded_bodies import read_error_body
from shoal.distribution.bounded_connections import ConnectionBroken, Connections
from shoal.distribution.bounded_network import ForbiddenHost, RedirectScope
from shoal.distribution.login import RegistryLogin
from shoal.distribution.origins import named_url, origin_of
from shoal.distribution.refusals import foreign_refusal, refusal
from shoal.distribution.registries import RegistrySettings
from shoal.distribution.registry_request import RegistryRequest
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.trust import TlsTrust
from shoal.errors import InvalidInput, ShoalError, Unavailable

_MAX_REDIRECTS = 5
_OWN = "of the endpoint"


class Endpoint:
    """One base URL of a registry, with its own connections and credentials.

    Attributes:
        url: as the settings have it.
    """

    def __init__(
        self, registry: RegistrySettings, url: str, *, trust: TlsTrust, policy: RetryPolicy, clock: Callable[[], float]
    ) -> None:
        self.url = url
        self._base = named_url(url)
        self.origin = origin_of(self._base)
        self._policy = policy
        scope = RedirectScope(self.origin.host, self.origin.port, registry.allowed_hosts)
        self._connections = Connections(scope, trust=trust, policy=policy)
        self._login = RegistryLogin(registry, self.origin, connections=self._connections, policy=policy, clock=clock)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def attempt(self, call: RegistryRequest) -> httpx.Response:
        """The answer of one try, whatever its status; the caller closes it.

        Raises:
            ConnectionBroken: no answer; another try may have one.
            Unavailable: it leads where it must not. Unauthenticated, PermissionDenied: it gives no token.
        """
        try:
            # What is sent may be large: that has its time.
            async with asyncio.timeout(self._policy.response_seconds if call.is_read else None):
                return await self._authenticated(call)
        except TimeoutError:
            raise ConnectionBroken(f"registry {self.origin} timed out for {call.what}") from None

    async def refusal_error(self, call: RegistryRequest, response: httpx.Response) -> ShoalError:
        """The error that an answer means. Closes it."""
        url, status = response.request.url, response.status_code
        try:
            if not self._is_own(response):
                return foreign_refusal(status, what=call.what, host=str(origin_of(url)), registry=str(self.origin))
            body = await read_error_body(response, seconds=self._policy.response_seconds, what=call.what)
            return refusal(status, body, what=call.what, host=str(self.origin))
        finally:
            await response.aclose()

    def connection_error(self, call: RegistryRequest, url: httpx.URL, error: Exception) -> str:
        """The user's text for a broken connection."""
        there = origin_of(url)
        text = " ".join(str(error).split()) or type(error).__name__
        if there == self.origin:
            return f"registry {self.origin} is unreachable for {call.what}: {text}"
        return f"{there}, to which registry {self.origin} redirects for {call.what}, is unreachable: {text}"

    def upload_location(self, response: httpx.Response) -> str:
        """The URL where an answer of this endpoint says that a request goes on: as safe as a redirect's.

        Raises:
            InvalidInput: it says nothing, or nothing that can be followed.
        """
        text = response.headers.get("Location", "")
        if not text:
            raise InvalidInput(f"registry {self.origin} returned no location for an upload")
        try:
            url = named_url(text, response.request.url)
        except InvalidInput as error:
            raise InvalidInput(f"registry {self.origin} returned an invalid location for an upload: {error}") from error
        if origin_of(url) == self.origin and not self._is_own(response):
            there = origin_of(response.request.url)
            raise InvalidInput(f"{there} redirects an upload back to registry {self.origin}, which is not allowed")
        return str(url)

    async def _authenticated(self, call: RegistryRequest) -> httpx.Response:
        """A challenge is answered once, and only where it is the endpoint's own."""
        url = self._base.join(call.target)
        own = origin_of(url) == self.origin
        sent = self._login.cached_header(call.scopes) if own else None
        response = await self._redirected(call, url, sent)
        if response.status_code != 401 or not self._is_own(response):
            return response
        header = response.headers.get("WWW-Authenticate", "")
        body = await read_error_body(response, seconds=self._policy.response_seconds, what=call.what)
        await response.aclose()
        authorization = await self._login.answer_challenge(header, call.scopes, sent, call.what)
        if authorization is None:
            raise refusal(401, body, what=call.what, host=str(self.origin))
        return await self._redirected(call, url, authorization)

    async def _redirected(self, call: RegistryRequest, url: httpx.URL, authorization: str | None) -> httpx.Response:
        """Follow redirects of reads. Who has left the endpoint's origin does not come back to it with credentials."""
        own = True
        for _ in range(_MAX_REDIRECTS + 1):
            own = own and origin_of(url) == self.origin
            self._check_scheme(url)
            response = await self._send_once(call, url, authorization if own else None)
            response.extensions[_OWN] = own
            if not (response.has_redirect_location and call.is_read):
                return response
            await response.aclose()
            url = self._redirect_target(response.headers["Location"], url)
        raise Unavailable(
            f"registry {self.origin} redirects too often for {call.what}; the maximum is {_MAX_REDIRECTS}"
        )

    async def _send_once(self, call: RegistryRequest, url: httpx.URL, authorization: str | None) -> httpx.Response:
        credentials = {"Authorization": authorization} if authorization else {}
        content = call.body if isinstance(call.body, bytes) else call.body()
        try:
            return await self._connections.send(call.method, url, {**call.headers, **credentials}, content or None)
        except ForbiddenHost as error:
            raise Unavailable(
                f"registry {self.origin} redirects to {origin_of(url)} for {call.what}, in a more private network; "
                "to allow it, add it to allowed_hosts of the registry in registries.toml"
            ) from error
        except (ConnectionBroken, ValueError) as error:
            raise ConnectionBroken(self.connection_error(call, url, error)) from error

    def _redirect_target(self, location: str, url: httpx.URL) -> httpx.URL:
        try:
            return named_url(location, url)
        except InvalidInput as error:
            raise Unavailable(f"registry {self.origin} returned an invalid redirect: {error}") from error

    def _check_scheme(self, url: httpx.URL) -> None:
        if self.origin.scheme == "https" and url.scheme != "https":
            raise Unavailable(
                f"registry {self.origin} redirects from HTTPS to http://{origin_of(url)}, which is not allowed"
            )

    def _is_own(self, response: httpx.Response) -> bool:
        return bool(response.extensions[_OWN])
