"""Forwards queries for names outside the cluster to the host's resolvers."""

import asyncio
import logging
import os
import secrets
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from agent.network.dns.wire_format import HEADER_BYTES, question_end
from agent.network.well_known import GATEWAY

log = logging.getLogger(__name__)

Resolver = IPv4Address | IPv6Address
Resolvers = Callable[[], Sequence[Resolver]]

_MAX_RESOLVERS = 6
"""Tried in turn for one query, which occupies a slot until the last one has timed out."""


class HostResolvers:
    """The `nameserver` lines of a resolv.conf(5), except for this resolver, read again when the file changes."""

    def __init__(self, path: Path = Path("/etc/resolv.conf")) -> None:
        self._path = path
        self._file_status: os.stat_result | None = None
        self._resolvers: tuple[Resolver, ...] = ()

    def __call__(self) -> Sequence[Resolver]:
        try:
            now = self._path.stat()
            if self._file_status is None or (now.st_mtime_ns, now.st_ino) != (
                self._file_status.st_mtime_ns,
                self._file_status.st_ino,
            ):
                self._resolvers = parse_resolv_conf(self._path.read_text(errors="replace"))
                self._file_status = now
        except OSError as error:
            log.warning("Cannot read the upstream resolvers from %s: %s", self._path, error)
        return self._resolvers


def resolvers_of(configured: Sequence[Resolver]) -> Resolvers:
    """Those that were configured, else those of the host."""
    return (lambda: configured) if configured else HostResolvers()


def parse_resolv_conf(text: str) -> tuple[Resolver, ...]:
    """The resolvers of a resolv.conf, except for this one."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                found.append(ip_address(words[1]))
            except ValueError:
                log.debug("Ignoring the nameserver %s: not an IP address", words[1])
    return tuple(address for address in found if address != GATEWAY)


def matches(query: bytes, response: bytes) -> bool:
    """Whether the response has the query's id and repeats its question: RFC 5452, 9.1."""
    if len(response) < HEADER_BYTES or response[:2] != query[:2] or not response[2] & 0x80:
        return False
    end = question_end(query)
    return response[HEADER_BYTES:end].lower() == query[HEADER_BYTES:end].lower() or response[4:6] == b"\0\0"


class UpstreamResolvers:
    """Queries the resolvers in turn, over the client's transport, with an id and a port of our own."""

    def __init__(self, *, resolvers: Resolvers, timeout_seconds: float, port: int = 53) -> None:
        self._resolvers = resolvers
        self._timeout_seconds = timeout_seconds
        self._port = port

    async def query(self, query: bytes, *, tcp: bool, resolvers: Sequence[Resolver] = ()) -> bytes | None:
        """The first answer, with the query's own id; None when no resolver answered in time.

        Args:
            resolvers: those of the client; none means the node's.
        """
        renumbered = secrets.token_bytes(2) + query[2:]
        for resolver in (resolvers or self._resolvers())[:_MAX_RESOLVERS]:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    send = self._query_tcp if tcp else self._query_udp
                    response = await send(renumbered, str(resolver))
                    return query[:2] + response[2:]
            except (OSError, EOFError) as error:  # a timeout is an OSError too
                log.debug("Upstream resolver %s did not respond: %s", resolver, error)
        return None

    async def _query_udp(self, query: bytes, resolver: str) -> bytes:
        loop = asyncio.get_running_loop()
        exchange = _Exchange(query, loop.create_future())
        transport, _ = await loop.create_datagram_endpoint(lambda: exchange, remote_addr=(resolver, self._port))
        try:
            transport.sendto(query)
            return await exchange.response
        finally:
            transport.close()

    async def _query_tcp(self, query: bytes, resolver: str) -> bytes:
        reader, writer = await asyncio.open_connection(resolver, self._port)
        try:
            writer.write(struct.pack(">H", len(query)) + query)
            response = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()
        if not matches(query, response):
            raise EOFError("response does not match the query")
        return response


class _Exchange(asyncio.DatagramProtocol):
    """One query on its own socket."""

    def __init__(self, query: bytes, response: asyncio.Future[bytes]) -> None:
        self._query = query
        self.response = response

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if not self.response.done() and matches(self._query, data):
            self.response.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.response.done():
            self.response.set_exception(exc)
