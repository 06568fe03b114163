"""The network below HTTP: only allowed addresses, and bounded response headers."""

import asyncio
import socket
import ssl
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from typing import Any

import httpcore

from shoal.distribution.reachability import Reach, literal_reach, may_redirect, reach_of

_MAX_ADDRESSES = 8
_MAX_HEAD_BYTES = 64 << 10
_HEAD_READ_BYTES = 8 << 10
_NEXT_ADDRESS_SECONDS = 0.25
_LOOKUP_THREADS = 2

SocketOptions = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


class ForbiddenHost(Exception):
    """The registry names a host that it must not lead us to."""


class RedirectScope:
    """What one endpoint of a registry may lead to.

    Args:
        host, port: the endpoint.
        permitted: `host` or `host:port` that it may lead to wherever they are.
    """

    def __init__(self, host: str, port: int, permitted: Collection[str] = ()) -> None:
        self._own = host, port
        self._permitted = frozenset(permitted)
        self._presumed = literal_reach(host) or Reach.PUBLIC
        self._reached: set[Reach] = set()

    def record_connection(self, host: str, port: int, address: str) -> None:
        """A connection to this address was made."""
        if (host, port) == self._own:
            self._reached.add(reach_of(address))

    def allows(self, host: str, port: int, address: str) -> bool:
        """Whether a connection to this address of a host may be made."""
        name = f"[{host}]" if ":" in host else host
        if (host, port) == self._own or not self._permitted.isdisjoint({name, f"{name}:{port}"}):
            return True
        return self._may_lead(reach_of(address))

    def check_name(self, host: str) -> None:
        """For requests through a proxy, which finds the address itself.

        Raises:
            ForbiddenHost: the host is itself an address that must not be named.
        """
        reach = literal_reach(host)
        if reach is None or host == self._own[0] or host in self._permitted:
            return
        if not self._may_lead(reach):
            raise ForbiddenHost(host)

    def _may_lead(self, target: Reach) -> bool:
        """By all addresses that the endpoint was reached at: a name that is now public, now private gains nothing."""
        return all(may_redirect(own, target) for own in self._reached or {self._presumed})


class BoundedBackend(httpcore.AsyncNetworkBackend):
    """Connects where the scope allows.

    Names are looked up in threads of its own: a name server that does not answer holds up nobody else's work.

    Args:
        head_seconds: from a request's last byte to the end of its answer's head.
    """

    def __init__(self, scope: RedirectScope | None, *, head_seconds: float) -> None:
        self._scope = scope
        self._head_seconds = head_seconds
        self._inner = httpcore.AnyIOBackend()
        self._lookups: ThreadPoolExecutor | None = None

    def through_proxy(self) -> "BoundedBackend":
        """One that reaches a proxy, which the host's administrator named."""
        return BoundedBackend(None, head_seconds=self._head_seconds)

    def close(self) -> None:
        """End the threads."""
        if self._lookups is not None:
            self._lookups.shutdown(wait=False, cancel_futures=True)
            self._lookups = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that answers. Raises as httpcore's own does, and ForbiddenHost."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses(host, port)
                address, stream = await self._first(addresses, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection within {timeout:g} s") from error
        if self._scope is not None:
            self._scope.record_connection(host, port, address)
        return BoundedStream(stream, head_seconds=self._head_seconds)

    async def sleep(self, seconds: float) -> None:
        """For httpcore's retries, which are not used."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        found = [host] if _is_address(host) else await self._look_up(host, port)
        allowed = [each for each in found if self._scope is None or self._scope.allows(host, port, each)]
        if not allowed:
            raise ForbiddenHost(host)
        return allowed[:_MAX_ADDRESSES]

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        """Both families in turn (RFC 8305 section 4)."""
        if self._lookups is None:
            self._lookups = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="registry-names")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._lookups, _getaddrinfo, host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{error.strerror or error}") from error
        first = [address for family, address in found if family == found[0][0]]
        second = [address for family, address in found if family != found[0][0]]
        return [each for each in chain.from_iterable(zip_longest(first, second)) if each]

    async def _first(self, addresses: Sequence[str], port: int) -> tuple[str, httpcore.AsyncNetworkStream]:
        if len(addresses) == 1:
            return addresses[0], await self._inner.connect_tcp(addresses[0], port)
        return await self._race(list(addresses), port)

    async def _race(self, waiting: list[str], port: int) -> tuple[str, httpcore.AsyncNetworkStream]:
        """The first connection of several, each tried a little after the one before it (RFC 8305 section 5)."""
        running: dict[asyncio.Task[httpcore.AsyncNetworkStream], str] = {}
        failure: BaseException = httpcore.ConnectError("no address")
        try:
            while waiting or running:
                if waiting:
                    address = waiting.pop(0)
                    running[asyncio.create_task(self._inner.connect_tcp(address, port))] = address
                wait = _NEXT_ADDRESS_SECONDS if waiting else None
                done, _ = await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    address = running.pop(task)
                    if (error := task.exception()) is None:
                        return address, task.result()
                    failure = error
            raise failure
        finally:
            await _abandon(running)


class BoundedStream(httpcore.AsyncNetworkStream):
    """One connection. The head of each answer, with all that is sent before it, is bounded in bytes and seconds."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, *, head_seconds: float) -> None:
        self._inner = inner
        self._head_seconds = head_seconds
        self._in_head = False
        self._head_bytes = 0
        self._head_ends = 0.0

    def headers_read(self) -> None:
        """The head is here; what follows is the body's, whose reader has its own bounds."""
        self._in_head = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Raises as httpcore's own does."""
        if not self._in_head:
            return await self._inner.read(max_bytes, timeout)
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise httpcore.RemoteProtocolError("the response header is too large")
        left = self._head_ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the response header timed out")
        found = await self._inner.read(min(max_bytes, _HEAD_READ_BYTES), min(left, timeout or left))
        self._head_bytes += len(found)
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """A request, or a part of one; the time of its answer begins."""
        await self._inner.write(buffer, timeout)
        self._in_head, self._head_bytes = True, 0
        self._head_ends = time.monotonic() + self._head_seconds

    async def aclose(self) -> None:
        """Close it."""
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The same, encrypted."""
        inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return BoundedStream(inner, head_seconds=self._head_seconds)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a stream."""
        return self._inner.get_extra_info(info)


async def _abandon(running: Collection[asyncio.Task[httpcore.AsyncNetworkStream]]) -> None:
    for task in running:
        task.cancel()
    for result in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(result, httpcore.AsyncNetworkStream):
            await result.aclose()


def _getaddrinfo(host: str, port: int) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _is_address(host: str) -> bool:
    reach = literal_reach(host)
    return reach is not None and not host.endswith("localhost")
