"""The resolver of this node's containers, which they have on UDP and TCP port 53 of the gateway address."""

import asyncio
import logging
import random
import struct
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import dns.rcode

from agent.network.dns.answer import Forward, parsed, refusal
from agent.network.dns.askers import Asker
from agent.network.dns.datagrams import LARGEST_QUERY_BYTES, Datagrams, Source
from agent.network.dns.kept import KeptAnswers
from agent.network.dns.limits import FORWARD_COST, Allowance, Shares
from agent.network.dns.listening import Listening
from agent.network.dns.upstream import Upstream
from agent.network.dns.wire import failure
from agent.network.dns.zone import Zone

log = logging.getLogger(__name__)

_FORWARDED_AT_ONCE = 512
_CONNECTIONS_AT_ONCE = 256
_IDLE_SECONDS = 10.0
"""For a whole query to come, and for the one before to be taken."""
_WRITE_SECONDS = 5.0
"""For an answer to be taken."""
_TOKENS = 2
"""For each question a second: what an asker may have of the processor, in answers that are kept."""

FindAsker = Callable[[IPv4Address], Asker | None]


class DnsServer:
    """Answers from `zone`, which its owner replaces when the planner's tables change.

    No asker can have so much of it that another one goes without: of questions, of connections, and of questions that
    wait for an upstream resolver.

    Args:
        find_asker: who has a source address; None for a stranger.
        find_task: whose limits hold for a source address.
        questions_per_second: that one asker may ask; what is not kept counts for several. More are dropped over UDP,
            and wait over TCP.
    """

    def __init__(
        self,
        *,
        find_asker: FindAsker,
        upstream: Upstream,
        ttl_seconds: int,
        shuffle: random.Random,
        find_task: Callable[[IPv4Address], str] = str,
        questions_per_second: int = 4000,
    ) -> None:
        self._answers = KeptAnswers(ttl_seconds=ttl_seconds, shuffle=shuffle)
        self._find_asker, self._find_task = find_asker, find_task
        self._upstream = upstream
        self._allowance = Allowance(per_second=questions_per_second * _TOKENS, clock=time.monotonic)
        self._forwards = Shares(_FORWARDED_AT_ONCE)
        self._connections = Shares(_CONNECTIONS_AT_ONCE)
        self._forwarded: set[asyncio.Task[None]] = set()
        self._datagrams: Datagrams | None = None
        self._listener: asyncio.Server | None = None

    @property
    def zone(self) -> Zone:
        return self._answers.zone

    @zone.setter
    def zone(self, zone: Zone) -> None:
        self._answers.zone = zone

    async def start(self, at: Listening) -> None:
        """Answer at both sockets, which are closed by `stop`."""
        self._datagrams = Datagrams(at.datagrams, self._receive)
        self._listener = await asyncio.start_server(
            self._serve_connection, sock=at.connections, limit=LARGEST_QUERY_BYTES
        )

    async def stop(self) -> None:
        """Stop listening; queries under way are dropped, their askers ask again."""
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None
        if self._listener is not None:
            self._listener.close()
        for task in self._forwarded:
            task.cancel()
        await asyncio.gather(*self._forwarded, return_exceptions=True)

    def _receive(self, wire: bytes, source: Source) -> None:
        address = IPv4Address(source[0])
        who, asker = self._find_task(address), self._find_asker(address)
        if len(wire) > LARGEST_QUERY_BYTES:
            return
        answer = self._answers.answer(wire, asker, tcp=False, pay=partial(self._allowance.spend, who))
        if not isinstance(answer, Forward):
            self._reply(answer, source)
        elif not self._allowance.spend(who, FORWARD_COST):
            return
        elif self._forwards.take(who):
            self._in_background(self._forward_datagram(wire, asker, who, source))
        else:
            self._reply(failure(wire), source)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._forwarded.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._forwarded.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A query could not be forwarded", exc_info=error)

    async def _forward_datagram(self, wire: bytes, asker: Asker | None, who: str, source: Source) -> None:
        self._reply(await self._ask_upstream(wire, asker, who, tcp=False), source)

    async def _ask_upstream(self, wire: bytes, asker: Asker | None, who: str, *, tcp: bool) -> bytes | None:
        """The answer, by a place among those under way that the asker has taken."""
        try:
            resolvers = asker.upstreams if asker is not None else ()
            return await self._upstream.ask(wire, tcp=tcp, resolvers=resolvers) or _failure(wire)
        finally:
            self._forwards.give_back(who)

    def _reply(self, wire: bytes | None, source: Source) -> None:
        if wire is not None and self._datagrams is not None:
            self._datagrams.send(wire, source)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        who = self._find_task(IPv4Address(peer[0])) if peer else ""
        if not peer or not self._connections.take(who):
            writer.transport.abort()
            return
        writer.transport.set_write_buffer_limits(high=0)  # what is not taken yet is waited for, at most one answer
        try:
            with suppress(OSError, EOFError):  # the asker went away, or is too slow, or has nothing more to ask
                while True:
                    await self._serve_query(reader, writer, IPv4Address(peer[0]), who)
        finally:
            self._connections.give_back(who)
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # nobody takes it
            writer.close()

    async def _serve_query(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: IPv4Address, who: str
    ) -> None:
        async with asyncio.timeout(_IDLE_SECONDS):
            length = int.from_bytes(await reader.readexactly(2), "big")
            if length > LARGEST_QUERY_BYTES:
                raise EOFError("no query is so long")
            wire = await reader.readexactly(length)
        asker = self._find_asker(address)
        response = self._answers.answer(wire, asker, tcp=True, pay=partial(self._allowance.owe, who))
        if isinstance(response, Forward):
            self._allowance.owe(who, FORWARD_COST)
            taken = self._forwards.take(who)
            response = await self._ask_upstream(wire, asker, who, tcp=True) if taken else failure(wire)
        if response is None:
            raise EOFError("no query")
        writer.write(struct.pack(">H", len(response)) + response)
        async with asyncio.timeout(_WRITE_SECONDS):
            await writer.drain()
        # Questions that wait in one connection come no sooner than those of others.
        await asyncio.sleep(self._allowance.debt_seconds(who))


def _failure(wire: bytes) -> bytes | None:
    query = parsed(wire)
    return refusal(query, dns.rcode.SERVFAIL) if query is not None else None
