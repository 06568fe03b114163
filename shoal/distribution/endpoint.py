"""One try of a request at one endpoint of a registry: logins, redirects, refusals.

What is the endpoint's own: its origin. Only there do credentials go, only from there are challenges obeyed and texts
shown. Hosts that it leads to get a request without any of that, over HTTPS where the endpoint has it, at addresses that
are no less public than the endpoint's (`addresses`), and are told apart by their status alone.
"""

import asyncio
from collections.abc import Callable

import httpx

from shoal.distribution.answers import foreign_refusal, refusal
from shoal.distribution.bodies import said
from shoal.distribution.calls import Call
from shoal.distribution.connections import Broken, Connections
from shoal.distribution.login import Login
from shoal.distribution.network import Forbidden, Scope
from shoal.distribution.origins import named_url, origin_of
from shoal.distribution.registries import Registry
from shoal.distribution.retrying import RetryPolicy
from shoal.distribution.trust import Trust
from shoal.errors import InvalidInput, ShoalError, Unavailable

_MAX_REDIRECTS = 5
_OWN = "of the endpoint"


class Endpoint:
    """One base URL of a registry, with its own connections and credentials.

    Attributes:
        url: as the settings have it.
    """

    def __init__(
        self, registry: Registry, url: str, *, trust: Trust, policy: RetryPolicy, clock: Callable[[], float]
    ) -> None:
        self.url = url
        self._base = named_url(url)
        self.origin = origin_of(self._base)
        self._policy = policy
        scope = Scope(self.origin.host, self.origin.port, registry.allowed_hosts)
        self._connections = Connections(scope, trust=trust, policy=policy)
        self._login = Login(registry, self.origin, connections=self._connections, policy=policy, clock=clock)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def attempt(self, call: Call) -> httpx.Response:
        """The answer of one try, whatever its status; the caller closes it.

        Raises:
            Broken: no answer; another try may have one.
            Unavailable: it leads where it must not. Unauthenticated, PermissionDenied: it gives no token.
        """
        try:
            # What is sent may be large: that has its time.
            async with asyncio.timeout(self._policy.answer_seconds if call.reads else None):
                return await self._authenticated(call)
        except TimeoutError:
            raise Broken(f"registry {self.origin} did not answer in time for {call.what}") from None

    async def refused(self, call: Call, response: httpx.Response) -> ShoalError:
        """The error that an answer means. Closes it."""
        url, status = response.request.url, response.status_code
        try:
            if not self._is_own(response):
                return foreign_refusal(status, what=call.what, host=str(origin_of(url)), registry=str(self.origin))
            body = await said(response, seconds=self._policy.answer_seconds, what=call.what)
            return refusal(status, body, what=call.what, host=str(self.origin))
        finally:
            await response.aclose()

    def broken(self, call: Call, url: httpx.URL, error: Exception) -> str:
        """A connection's end in words for the user."""
        there = origin_of(url)
        text = " ".join(str(error).split()) or type(error).__name__
        if there == self.origin:
            return f"registry {self.origin} cannot be reached for {call.what}: {text}"
        return f"{there}, where registry {self.origin} leads to for {call.what}, cannot be reached: {text}"

    def located(self, response: httpx.Response) -> str:
        """The URL where an answer of this endpoint says that a request goes on: as safe as a redirect's.

        Raises:
            InvalidInput: it says nothing, or nothing that can be followed.
        """
        text = response.headers.get("Location", "")
        if not text:
            raise InvalidInput(f"registry {self.origin} opened an upload without saying where")
        try:
            url = named_url(text, response.request.url)
        except InvalidInput as error:
            raise InvalidInput(f"registry {self.origin} opened an upload where none can go: {error}") from error
        if origin_of(url) == self.origin and not self._is_own(response):
            there = origin_of(response.request.url)
            raise InvalidInput(f"{there} leads an upload back to registry {self.origin}, which is not for it to say")
        return str(url)

    async def _authenticated(self, call: Call) -> httpx.Response:
        """A challenge is answered once, and only where it is the endpoint's own."""
        url = self._base.join(call.target)
        own = origin_of(url) == self.origin
        sent = self._login.known(call.scopes) if own else None
        response = await self._redirected(call, url, sent)
        if response.status_code != 401 or not self._is_own(response):
            return response
        header = response.headers.get("WWW-Authenticate", "")
        body = await said(response, seconds=self._policy.answer_seconds, what=call.what)
        await response.aclose()
        authorization = await self._login.answer(header, call.scopes, sent, call.what)
        if authorization is None:
            raise refusal(401, body, what=call.what, host=str(self.origin))
        return await self._redirected(call, url, authorization)

    async def _redirected(self, call: Call, url: httpx.URL, authorization: str | None) -> httpx.Response:
        """Follow redirects of reads. Who has left the endpoint's origin does not come back to it with credentials."""
        own = True
        for _ in range(_MAX_REDIRECTS + 1):
            own = own and origin_of(url) == self.origin
            self._check_scheme(url)
            response = await self._hop(call, url, authorization if own else None)
            response.extensions[_OWN] = own
            if not (response.has_redirect_location and call.reads):
                return response
            await response.aclose()
            url = self._next(response.headers["Location"], url)
        raise Unavailable(f"registry {self.origin} redirects more than {_MAX_REDIRECTS} times for {call.what}")

    async def _hop(self, call: Call, url: httpx.URL, authorization: str | None) -> httpx.Response:
        credentials = {"Authorization": authorization} if authorization else {}
        content = call.body if isinstance(call.body, bytes) else call.body()
        try:
            return await self._connections.send(call.method, url, {**call.headers, **credentials}, content or None)
        except Forbidden as error:
            raise Unavailable(
                f"registry {self.origin} leads to {origin_of(url)} for {call.what}, which is inside a network that the "
                "registry is not in; if that is right, add it to allowed_hosts of the registry in registries.toml"
            ) from error
        except (Broken, ValueError) as error:
            raise Broken(self.broken(call, url, error)) from error

    def _next(self, location: str, url: httpx.URL) -> httpx.URL:
        try:
            return named_url(location, url)
        except InvalidInput as error:
            raise Unavailable(f"registry {self.origin} redirects to where nobody can go: {error}") from error

    def _check_scheme(self, url: httpx.URL) -> None:
        if self.origin.scheme == "https" and url.scheme != "https":
            raise Unavailable(
                f"registry {self.origin} redirects from HTTPS to http://{origin_of(url)}; refusing to go there"
            )

    def _is_own(self, response: httpx.Response) -> bool:
        return bool(response.extensions[_OWN])
