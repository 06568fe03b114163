"""Connections to one endpoint of a registry and to the hosts that it names: bounded in time and bytes, and never to
addresses that a registry must not send its clients to.

Of httpx this takes requests and answers alone: its client keeps cookies, logs whole URLs and answers to names in URLs
with passwords. The pool is httpcore's, with a backend of our own below it.
"""

import asyncio
import urllib.request
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import httpcore
import httpx

from shoal.distribution.bounded_network import BoundedBackend, BoundedStream, RedirectScope
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.trust import TlsTrust

_MAX_CONNECTIONS = 64
_MAX_IDLE = 8
_IDLE_SECONDS = 5.0
_PIECES_AT_ONCE = 64
_FREE_PIECES = 4096
_MIN_PIECE = 128
_NOT_HTTP = (httpcore.ProtocolError, httpcore.UnsupportedProtocol)
_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProxyError, OSError)


class ConnectionBroken(Exception):
    """A connection that breaks, or an answer that is not HTTP. Its text has no byte of what the other side sent."""


class Connections:
    """Sends requests over connections that are kept. Belongs to one event loop; `aclose` it at the end.

    Args:
        scope: the endpoint's own host, and what it may lead to.
        trust: which authorities to trust over TLS.
    """

    def __init__(self, scope: RedirectScope, *, trust: TlsTrust, policy: RetryPolicy) -> None:
        self._scope = scope
        self._trust = trust
        self._policy = policy
        self._backend = BoundedBackend(scope, head_seconds=policy.idle_seconds)
        self._proxies = urllib.request.getproxies_environment()
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}
        waits = {"connect": policy.connect_seconds, "pool": policy.idle_seconds}
        self._timeouts = {**waits, "read": policy.idle_seconds, "write": policy.idle_seconds}

    async def aclose(self) -> None:
        """Close all connections. Others are made where the next request wants one."""
        while self._pools:
            await self._pools.popitem()[1].aclose()
        self._backend.close()

    async def send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes | AsyncIterable[bytes] | None
    ) -> httpx.Response:
        """The answer, its body still to be read and to be closed.

        Raises:
            ConnectionBroken: no answer, or none in HTTP. ForbiddenHost: the host's address is not for this registry to
            name.
        """
        plain = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "shoal"}
        request = httpx.Request(method, url, headers={**plain, **headers}, content=content)
        assert isinstance(request.stream, AsyncIterable)
        asked = httpcore.Request(
            method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": self._timeouts},
        )
        with _translated():
            found = await self._pool(url).handle_async_request(asked)
        _on_headers_read(found)
        return httpx.Response(
            found.status, headers=found.headers, stream=_Body(found), request=request, extensions=found.extensions
        )

    def _pool(self, url: httpx.URL) -> httpcore.AsyncConnectionPool:
        proxy = self._proxy_for(url)
        if "https" in (url.scheme, proxy.partition(":")[0]):
            self._trust.load_system_roots()
        if proxy:
            self._scope.check_name(url.raw_host.decode("ascii"))
        if proxy not in self._pools:
            self._pools[proxy] = httpcore.AsyncConnectionPool(
                ssl_context=self._trust.context,
                proxy=_proxy(proxy) if proxy else None,
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=_MAX_IDLE,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=self._backend.through_proxy() if proxy else self._backend,
            )
        return self._pools[proxy]

    def _proxy_for(self, url: httpx.URL) -> str:
        """URL of the proxy that the environment names for a request; empty for none."""
        if urllib.request.proxy_bypass(url.netloc.decode("ascii"), self._proxies):
            return ""
        return self._proxies.get(url.scheme) or self._proxies.get("all", "")


class _Body(httpx.AsyncByteStream):
    """What is left of an answer. Crumbs cost more processor time than their registry's whole traffic: see `_check`."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = count = 0
        assert isinstance(self._response.stream, AsyncIterable)
        with _translated():
            async for piece in self._response.stream:
                pieces += 1
                count += len(piece)
                if pieces % _PIECES_AT_ONCE == 0:
                    self._check(pieces, count)
                    await asyncio.sleep(0)  # they came in one piece of the network: others have their turn
                yield piece

    async def aclose(self) -> None:
        with _translated():
            await self._response.aclose()

    @staticmethod
    def _check(pieces: int, count: int) -> None:
        if pieces > _FREE_PIECES + count // _MIN_PIECE:
            raise ConnectionBroken("the response arrives in too small chunks")


def _on_headers_read(response: httpcore.Response) -> None:
    stream = response.extensions.get("network_stream")
    if isinstance(stream, BoundedStream):
        stream.headers_read()


def _proxy(url: str) -> httpcore.Proxy:
    found = httpx.Proxy(url if "://" in url else f"http://{url}")
    return httpcore.Proxy(
        httpcore.URL(
            scheme=found.url.raw_scheme, host=found.url.raw_host, port=found.url.port, target=found.url.raw_path
        ),
        auth=found.raw_auth,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _NOT_HTTP as error:
        raise ConnectionBroken("the response is not valid HTTP") from error
    except _BROKEN as error:
        raise ConnectionBroken(" ".join(str(error).split()) or type(error).__name__) from error
