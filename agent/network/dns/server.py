"""The resolver of this node's containers, which they have on UDP and TCP port 53 of the gateway address."""

import asyncio
import logging
import random
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Any

import dns.rcode

from agent.network.dns.answer import Forward, parsed, refusal
from agent.network.dns.askers import Asker
from agent.network.dns.kept import KeptAnswers
from agent.network.dns.listening import Listening
from agent.network.dns.upstream import Upstream
from agent.network.dns.zone import Zone

log = logging.getLogger(__name__)

_FORWARDED_AT_ONCE = 512
_CONNECTIONS_AT_ONCE = 256
_IDLE_SECONDS = 10.0

FindAsker = Callable[[IPv4Address], Asker | None]
Source = tuple[str, int]


class DnsServer:
    """Answers from `zone`, which its owner replaces when the planner's tables change.

    Args:
        find_asker: who has a source address; None for a stranger.
    """

    def __init__(self, *, find_asker: FindAsker, upstream: Upstream, ttl_seconds: int, shuffle: random.Random) -> None:
        self._answers = KeptAnswers(ttl_seconds=ttl_seconds, shuffle=shuffle)
        self._find_asker = find_asker
        self._upstream = upstream
        self._forwarded: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._datagrams: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None

    @property
    def zone(self) -> Zone:
        return self._answers.zone

    @zone.setter
    def zone(self, zone: Zone) -> None:
        self._answers.zone = zone

    async def start(self, at: Listening) -> None:
        """Answer at both sockets, which are closed by `stop`."""
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._receive), sock=at.datagrams)
        self._listener = await asyncio.start_server(self._serve_connection, sock=at.connections)

    async def stop(self) -> None:
        """Stop listening; queries under way are dropped, their askers ask again."""
        if self._datagrams is not None:
            self._datagrams.close()
        if self._listener is not None:
            self._listener.close()
        for task in self._forwarded:
            task.cancel()
        await asyncio.gather(*self._forwarded, return_exceptions=True)

    def _receive(self, wire: bytes, source: Source) -> None:
        asker = self._find_asker(IPv4Address(source[0]))
        answer = self._answers.answer(wire, asker, tcp=False)
        if not isinstance(answer, Forward):
            self._reply(answer, source)
        elif len(self._forwarded) >= _FORWARDED_AT_ONCE:
            self._reply(_failure(wire), source)
        else:
            self._in_background(self._forward_datagram(wire, asker, source))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._forwarded.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._forwarded.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A query could not be forwarded", exc_info=error)

    async def _forward_datagram(self, wire: bytes, asker: Asker | None, source: Source) -> None:
        self._reply(await self._ask_upstream(wire, asker, tcp=False), source)

    async def _ask_upstream(self, wire: bytes, asker: Asker | None, *, tcp: bool) -> bytes | None:
        response = await self._upstream.ask(wire, tcp=tcp, resolvers=asker.upstreams if asker is not None else ())
        return response or _failure(wire)

    def _reply(self, wire: bytes | None, source: Source) -> None:
        if wire is not None and self._datagrams is not None and not self._datagrams.is_closing():
            self._datagrams.sendto(wire, source)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= _CONNECTIONS_AT_ONCE:
            writer.close()
            return
        self._connections += 1
        try:
            with suppress(OSError, EOFError):  # the asker went away, or has nothing more to ask
                while True:
                    await self._serve_query(reader, writer)
        finally:
            self._connections -= 1
            writer.close()

    async def _serve_query(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_IDLE_SECONDS):
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        asker = self._find_asker(IPv4Address(writer.get_extra_info("peername")[0]))
        response = self._answers.answer(wire, asker, tcp=True)
        if isinstance(response, Forward):
            response = await self._ask_upstream(wire, asker, tcp=True)
        if response is None:
            raise EOFError("no query")
        writer.write(struct.pack(">H", len(response)) + response)
        await writer.drain()


def _failure(wire: bytes) -> bytes | None:
    query = parsed(wire)
    return refusal(query, dns.rcode.SERVFAIL) if query is not None else None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, Source], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._receive(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("An answer did not reach its asker: %s", exc)
