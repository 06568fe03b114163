"""Requests to one registry: tried again, at one endpoint after the other, and with errors that a user can read.

This module imports httpx, which costs 86 ms and 5 MB: the agent and the command line import it at the first request.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from shoal.distribution.bounded_bodies import MAX_ERROR_BYTES, read_body
from shoal.distribution.bounded_connections import ConnectionBroken
from shoal.distribution.endpoint import Endpoint
from shoal.distribution.registries import RegistrySettings
from shoal.distribution.registry_request import RegistryRequest
from shoal.distribution.retry_policy import RETRIED_STATUSES, RetryPolicy
from shoal.distribution.trust import TlsTrust, system_trust, trust_of_file
from shoal.errors import NotFound, PermissionDenied, Unauthenticated, Unavailable

_log = logging.getLogger(__name__)
_ENDPOINT = "registry endpoint"


class Transport:
    """Connections to one registry. Belongs to one event loop; `aclose` it at the end.

    Args:
        trust: the system's authorities, where they are shared with other registries.
    """

    def __init__(
        self,
        registry: RegistrySettings,
        *,
        policy: RetryPolicy,
        trust: TlsTrust | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.registry = registry
        self._policy = policy
        self._sleep = sleep
        trusted = trust_of_file(registry.domain, registry.ca_file) if registry.ca_file else trust or system_trust()
        self._endpoints = {
            url: Endpoint(registry, url, trust=trusted, policy=policy, clock=clock) for url in registry.endpoints
        }
        self._active = 0
        self._retired = False

    @property
    def idle(self) -> bool:
        """Whether no call is under way."""
        return self._active == 0

    async def aclose(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            await endpoint.aclose()

    async def retire(self) -> None:
        """Close the connections whenever no call is under way, now and later."""
        self._retired = True
        if self.idle:
            await self.aclose()

    @asynccontextmanager
    async def stream(self, call: RegistryRequest) -> AsyncGenerator[httpx.Response]:
        """The answer, its body still to be read.

        Raises:
            NotFound, Unauthenticated, PermissionDenied, InvalidInput: the registry refuses.
            Unavailable: it cannot be reached, or fails, at all its endpoints and after all tries. A connection that
                breaks while the body is read is an `Unavailable` as well, raised where it is read.
        """
        self._active += 1
        try:
            response = await self._answer(call)
            try:
                yield response
            except ConnectionBroken as error:
                endpoint = self._endpoint_of(response)
                raise Unavailable(endpoint.connection_error(call, response.request.url, error)) from error
            finally:
                await response.aclose()
        finally:
            self._active -= 1
            if self._retired:
                await self.retire()

    async def send(self, call: RegistryRequest, *, limit: int = MAX_ERROR_BYTES) -> tuple[httpx.Response, bytes]:
        """The answer with its body of at most `limit` bytes. Raises as `stream` does."""
        async with self.stream(call) as response:
            seconds = self._policy.response_seconds
            return response, await read_body(response, limit=limit, seconds=seconds, what=call.what)

    def upload_location(self, response: httpx.Response) -> tuple[str, str]:
        """Where an answer says that a request goes on: target and endpoint of the `RegistryRequest` that does.

        Raises:
            InvalidInput: it says nothing, or nothing that can be followed.
        """
        endpoint = self._endpoint_of(response)
        return endpoint.upload_location(response), endpoint.url

    async def _answer(self, call: RegistryRequest) -> httpx.Response:
        """Try each endpoint in turn until one answers. A refused read goes on too: a mirror may lack some images."""
        endpoints = [self._endpoints[call.endpoint]] if call.endpoint else list(self._endpoints.values())
        for endpoint in endpoints[:-1]:
            try:
                return await self._with_retries(call, endpoint)
            except Unavailable as error:
                _log.warning("%s; trying the next endpoint", error)
            except (NotFound, Unauthenticated, PermissionDenied) as error:
                if not call.is_read:
                    raise
                _log.debug("%s; trying the next endpoint", error)
        return await self._with_retries(call, endpoints[-1])

    async def _with_retries(self, call: RegistryRequest, endpoint: Endpoint) -> httpx.Response:
        for failures in range(1, self._policy.attempts + 1):
            retry_after = ""
            try:
                response = await endpoint.attempt(call)
            except ConnectionBroken as error:
                if failures == self._policy.attempts:
                    raise Unavailable(str(error)) from error
            else:
                if response.status_code in call.expected_statuses:
                    response.extensions[_ENDPOINT] = endpoint.url
                    return response
                if response.status_code not in RETRIED_STATUSES or failures == self._policy.attempts:
                    raise await endpoint.refusal_error(call, response)
                retry_after = response.headers.get("Retry-After", "")
                await response.aclose()
            await self._sleep(self._policy.delay(failures, retry_after))
        raise AssertionError("a policy has at least one attempt")

    def _endpoint_of(self, response: httpx.Response) -> Endpoint:
        return self._endpoints[response.extensions[_ENDPOINT]]
