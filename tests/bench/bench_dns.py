"""Queries a second that the resolver stands, through its real socket: run `python -m tests.bench.bench_dns`.

The server runs in a process of its own, on one core; a client process with a window of queries loads it over UDP on
loopback. A service of 10 tasks on a network of 250, as in a container's usual question; and what misses what is kept.
"""

import asyncio
import os
import random
import resource
import select
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from multiprocessing import get_context
from multiprocessing.connection import Connection

import dns.message

from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.dns_server import DnsServer
from agent.network.dns.resolver_sockets import open_resolver_sockets
from agent.network.dns.upstream import UpstreamResolvers
from agent.network.dns.zone import build_zone
from tests.bench.rig.figures import Figure, table
from tests.integration.network.netns_hosts import Host, endpoint, network

SECONDS = 3.0
WINDOW = 64
"""Queries under way at once."""


def serve(ready: Connection) -> None:
    """Answer until asked to stop; then return the processor seconds that were used."""

    async def run() -> None:
        host = Host(2, -1)
        tasks = [endpoint(number, host, 1, service=f"s{number // 10}") for number in range(1, 251)]
        server = DnsServer(
            find_client=lambda _: DnsClient(("net1",), has_egress=False),
            upstream=UpstreamResolvers(resolvers=lambda: (), timeout_seconds=1),
            ttl_seconds=5,
            shuffle=random.Random(1),
            queries_per_second=1_000_000,  # no limit per client
        )
        server.zone = build_zone([network(1)], tasks, [])
        at = open_resolver_sockets(IPv4Address("127.0.0.1"))
        await server.start(at)
        before = processor_seconds()
        ready.send(at.ports[socket.IPPROTO_UDP])
        await asyncio.get_running_loop().run_in_executor(None, ready.recv)
        ready.send(processor_seconds() - before)
        await server.stop()

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    asyncio.run(run())


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def load(port: int, question: Callable[[int], bytes]) -> tuple[int, float]:
    """Answers within the time, and how long it was. Lost ones are sent again."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        poll = select.poll()
        poll.register(client, select.POLLIN)
        begin, answers, sent = time.perf_counter(), 0, 0
        for _ in range(WINDOW):
            client.send(question(sent))
            sent += 1
        while time.perf_counter() - begin < SECONDS:
            if not poll.poll(100):
                client.send(question(sent))
            try:
                while True:
                    client.recv(4096)
                    answers += 1
                    client.send(question(sent))
                    sent += 1
            except BlockingIOError:
                continue
        return answers, time.perf_counter() - begin


def answers_of_a_core(question: Callable[[int], bytes]) -> float:
    """Answers for each second of processor time that the server used while it was asked."""
    here, there = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=serve, args=(there,))
    server.start()
    try:
        answers, _ = load(here.recv(), question)
        here.send(None)
        used: float = here.recv()
        return round(answers / used)
    finally:
        server.join()


def measure() -> list[Figure]:
    """The figures with their target."""
    usual = dns.message.make_query("s7", "A", use_edns=0).to_wire()[2:]
    wires = [dns.message.make_query(mixed("tasks.s7", number), "A", use_edns=0).to_wire()[2:] for number in range(512)]
    # Cookies make every question a new one (RFC 7873).
    stem = dns.message.make_query("s7", "A", use_edns=0).to_wire()[2:-2] + b"\0\x0c\0\x0a\0\x08"
    questions: dict[str, Callable[[int], bytes]] = {
        "names: the usual question": lambda number: (number & 0xFFFF).to_bytes(2, "big") + usual,
        "names: in any case of letters": lambda number: (number & 0xFFFF).to_bytes(2, "big") + wires[number % 512],
        "names: with cookies": lambda number: b"\0\1" + stem + number.to_bytes(8, "big"),
    }
    figures = [
        Figure(name, answers_of_a_core(question), "/s of a core", at_least=5_000, scope="resolver's socket")
        for name, question in questions.items()
    ]
    # Nothing that is kept helps here: each name is another one, and does not exist.
    never = answers_of_a_core(lambda number: dns.message.make_query(f"n{number}", "A", use_edns=0).to_wire())
    return [*figures, Figure("names: never the same", never, "/s of a core", scope="resolver's socket")]


def mixed(name: str, number: int) -> str:
    """The name with its letters' case by the bits of a number ("0x20")."""
    return "".join(letter.upper() if number >> place & 1 else letter for place, letter in enumerate(name))


if __name__ == "__main__":
    print(table(measure()))
