"""The DNS resolver of this node's containers, on port 53 (UDP and TCP) of the gateway address."""

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

from agent.network.dns.answer import Forward, error_response, parse_query
from agent.network.dns.answer_cache import AnswerCache
from agent.network.dns.client_limits import FORWARD_COST, Allowance, Shares
from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.query_metrics import QueryMetrics
from agent.network.dns.resolver_sockets import ResolverSockets
from agent.network.dns.udp_transport import MAX_QUERY_BYTES, Source, UdpTransport
from agent.network.dns.upstream import UpstreamResolvers
from agent.network.dns.wire_format import servfail
from agent.network.dns.zone import Zone

log = logging.getLogger(__name__)

_MAX_FORWARDED = 512
_MAX_CONNECTIONS = 256
_IDLE_SECONDS = 10.0
"""To receive a whole query."""
_WRITE_SECONDS = 5.0
"""For the client to accept an answer."""
_TOKENS_PER_QUERY = 2
"""Processor time that a client may use for each query per second, in cached answers."""

_UDP, _TCP = QueryMetrics("udp"), QueryMetrics("tcp")

FindClient = Callable[[IPv4Address], DnsClient | None]


class DnsServer:
    """Answers from `zone`, which its owner replaces when the records change.

    No client can starve the others: of queries, of connections, or of queries that wait for an upstream resolver.

    Args:
        find_client: the client with a source address; None if unknown.
        find_task: the task whose limits apply to a source address.
        queries_per_second: limit of one client; an uncached query counts several times. Further ones are dropped over
            UDP, and delayed over TCP.
    """

    def __init__(
        self,
        *,
        find_client: FindClient,
        upstream: UpstreamResolvers,
        ttl_seconds: int,
        shuffle: random.Random,
        find_task: Callable[[IPv4Address], str] = str,
        queries_per_second: int = 4000,
    ) -> None:
        self._answers = AnswerCache(ttl_seconds=ttl_seconds, shuffle=shuffle)
        self._find_client, self._find_task = find_client, find_task
        self._upstream = upstream
        self._allowance = Allowance(per_second=queries_per_second * _TOKENS_PER_QUERY, clock=time.monotonic)
        self._forwards = Shares(_MAX_FORWARDED)
        self._connections = Shares(_MAX_CONNECTIONS)
        self._forwarded: set[asyncio.Task[None]] = set()
        self._udp: UdpTransport | None = None
        self._listener: asyncio.Server | None = None

    @property
    def zone(self) -> Zone:
        return self._answers.zone

    @zone.setter
    def zone(self, zone: Zone) -> None:
        self._answers.zone = zone

    async def start(self, sockets: ResolverSockets) -> None:
        """Answer on both sockets, which `stop` closes."""
        self._udp = UdpTransport(sockets.udp, self._receive)
        self._listener = await asyncio.start_server(self._serve_connection, sock=sockets.tcp, limit=MAX_QUERY_BYTES)

    async def stop(self) -> None:
        """Stop listening; pending queries are dropped, and their clients retry."""
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        if self._listener is not None:
            self._listener.close()
        for task in self._forwarded:
            task.cancel()
        await asyncio.gather(*self._forwarded, return_exceptions=True)

    def _receive(self, wire: bytes, source: Source) -> None:
        began, address = _UDP.clock(), IPv4Address(source[0])
        task_id, client = self._find_task(address), self._find_client(address)
        if len(wire) > MAX_QUERY_BYTES:
            return
        answer = self._answers.answer(wire, client, tcp=False, charge=partial(self._allowance.spend, task_id))
        if isinstance(answer, Forward):
            if not self._allowance.spend(task_id, FORWARD_COST):
                answer = None
            elif self._forwards.acquire(task_id):
                self._in_background(self._forward_datagram(wire, client, task_id, source, began))
                return
            else:
                answer = servfail(wire)
        _UDP.answered(answer, began)
        self._reply(answer, source)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._forwarded.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._forwarded.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Forwarding a DNS query failed", exc_info=error)

    async def _forward_datagram(
        self, wire: bytes, client: DnsClient | None, task_id: str, source: Source, began: float
    ) -> None:
        answer = await self._ask_upstream(wire, client, task_id, tcp=False)
        _UDP.answered(answer, began, forwarded=True)
        self._reply(answer, source)

    async def _ask_upstream(self, wire: bytes, client: DnsClient | None, task_id: str, *, tcp: bool) -> bytes | None:
        """The answer of an upstream resolver; releases the slot that the client has acquired."""
        try:
            resolvers = client.upstreams if client is not None else ()
            return await self._upstream.query(wire, tcp=tcp, resolvers=resolvers) or _servfail(wire)
        finally:
            self._forwards.release(task_id)

    def _reply(self, wire: bytes | None, source: Source) -> None:
        if wire is not None and self._udp is not None:
            self._udp.send(wire, source)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        task_id = self._find_task(IPv4Address(peer[0])) if peer else ""
        if not peer or not self._connections.acquire(task_id):
            writer.transport.abort()
            return
        writer.transport.set_write_buffer_limits(high=0)  # buffers at most one answer
        try:
            with suppress(OSError, EOFError):  # the client has closed the connection, or is too slow
                while True:
                    await self._serve_query(reader, writer, IPv4Address(peer[0]), task_id)
        finally:
            self._connections.release(task_id)
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # the client does not read it
            writer.close()

    async def _serve_query(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: IPv4Address, task_id: str
    ) -> None:
        async with asyncio.timeout(_IDLE_SECONDS):
            length = int.from_bytes(await reader.readexactly(2), "big")
            if length > MAX_QUERY_BYTES:
                raise EOFError("query too long")
            wire = await reader.readexactly(length)
        began, client = _TCP.clock(), self._find_client(address)
        response = self._answers.answer(wire, client, tcp=True, charge=partial(self._allowance.charge, task_id))
        if forwarded := isinstance(response, Forward):
            self._allowance.charge(task_id, FORWARD_COST)
            acquired = self._forwards.acquire(task_id)
            response = await self._ask_upstream(wire, client, task_id, tcp=True) if acquired else servfail(wire)
        _TCP.answered(response, began, forwarded=forwarded)
        if response is None:
            raise EOFError("not a DNS query")
        writer.write(struct.pack(">H", len(response)) + response)
        async with asyncio.timeout(_WRITE_SECONDS):
            await writer.drain()
        # A client that exceeds its limit over TCP waits.
        await asyncio.sleep(self._allowance.debt_seconds(task_id))


def _servfail(wire: bytes) -> bytes | None:
    query = parse_query(wire)
    return error_response(query, dns.rcode.SERVFAIL) if query is not None else None
