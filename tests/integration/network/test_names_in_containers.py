"""The resolver as containers see it: over UDP and TCP, with what is not the cluster's handed upstream."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

from shoal.api.v1.dispatcher_pb2 import Aliases
from tests.integration.network.netns_hosts import Hosts, endpoint, inside, network, pings, run, task

RESOLVER = "169.254.1.1"


def ask(descriptor: int, name: str, kind: str = "A", *, tcp: bool = False, **more: object) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **more)  # type: ignore[arg-type]
    with inside(descriptor):
        if tcp:
            return dns.query.tcp(query, RESOLVER, timeout=3)
        return dns.query.udp(query, RESOLVER, timeout=3)


def addresses(response: dns.message.Message) -> set[str]:
    assert response.rcode() == dns.rcode.NOERROR
    return {record.to_text() for rrset in response.answer for record in rrset}


@contextmanager
def upstream(descriptor: int) -> Iterator[list[str]]:
    """A resolver on the client's host that knows every name as 192.0.2.1; the list has what it was asked."""
    asked: list[str] = []
    with inside(descriptor):
        server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind(("172.31.0.100", 53))

    def serve() -> None:
        while True:
            wire, source = server.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            asked.append(query.question[0].name.to_text())
            response = dns.message.make_response(query)
            response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1"))
            server.sendto(response.to_wire(), source)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        with inside(descriptor), socket.socket(type=socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("172.31.0.100", 53))
        thread.join()
        server.close()


def test_the_hosts_own_port_53_may_be_anothers(hosts: Hosts) -> None:
    with inside(hosts.one.descriptor), ExitStack() as held:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            before = held.enter_context(socket.socket(type=kind))
            before.bind(("", 53))
        before.listen()
        hosts.start()
    web = endpoint(1, hosts.one, 1)
    hosts.apply([network(1)], [web])
    inner = hosts.attach(hosts.one, task(web)).netns_fd
    for _ in range(3):
        assert addresses(ask(inner, "web")) == {"10.99.1.1"}
        assert addresses(ask(inner, "web", tcp=True)) == {"10.99.1.1"}
    with inside(hosts.one.descriptor), socket.create_server(("", 53)), socket.socket(type=socket.SOCK_DGRAM) as later:
        later.bind(("", 53))
        assert addresses(ask(inner, "web", tcp=True)) == {"10.99.1.1"}
        assert addresses(ask(inner, "web")) == {"10.99.1.1"}

    hosts.one.stop()
    hosts.one.start()
    hosts.one.call(hosts.one.network.recover([task(web)]))
    hosts.apply([network(1)], [web])
    assert addresses(ask(inner, "web")) == {"10.99.1.1"}
    assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_names_resolve_to_ready_tasks_of_the_clients_networks(hosts: Hosts) -> None:
    hosts.start(upstream_resolvers=(IPv4Address("172.31.0.100"),))
    aliases = {"net1": Aliases(names=["www", "web"])}
    web = endpoint(1, hosts.one, 1, service="shop_web", aliases=aliases)
    web2 = endpoint(2, hosts.two, 1, service="shop_web", aliases=aliases)
    late = endpoint(3, hosts.two, 1, service="shop_web", ready=False, aliases=aliases)
    secret = endpoint(4, hosts.one, 2, service="secret")
    hosts.apply([network(1), network(2, internal=True)], [web, web2, late, secret])
    inner = hosts.attach(hosts.one, task(web)).netns_fd
    closed = hosts.attach(hosts.one, task(secret)).netns_fd

    everyone = {"10.99.1.1", "10.99.1.2"}
    for name in ("shop_web", "tasks.shop_web", "www", "web", "WEB"):
        assert addresses(ask(inner, name)) == everyone
        assert addresses(ask(inner, name, tcp=True)) == everyone
    assert addresses(ask(inner, "shop_web.2")) == {"10.99.1.2"}
    assert addresses(ask(inner, f"shop_web.2.{web2.task_id}")) == {"10.99.1.2"}
    assert addresses(ask(inner, "shop_web.3")) == set()
    assert addresses(ask(inner, "web", "AAAA")) == set()
    reverse = ask(inner, "2.1.99.10.in-addr.arpa", "PTR")
    assert addresses(reverse) == {f"shop_web.2.{web2.task_id}."}
    assert ask(inner, "4.2.99.10.in-addr.arpa", "PTR").rcode() == dns.rcode.NXDOMAIN

    with upstream(hosts.client) as asked:
        assert addresses(ask(inner, "secret")) == {"192.0.2.1"}
        assert addresses(ask(inner, "example.org")) == {"192.0.2.1"}
        assert ask(closed, "example.org").rcode() == dns.rcode.NXDOMAIN
        assert ask(closed, "shop_web").rcode() == dns.rcode.NXDOMAIN
        assert addresses(ask(closed, "secret")) == {"10.99.2.4"}
    assert asked == ["secret.", "example.org."]


def test_a_silent_upstream_is_a_failure_and_not_silence(hosts: Hosts) -> None:
    hosts.start(upstream_resolvers=(IPv4Address("172.31.0.100"),), dns_timeout_seconds=0.2)
    hosts.apply([network(1)], [here := endpoint(1, hosts.one, 1)])
    inner = hosts.attach(hosts.one, task(here)).netns_fd
    assert ask(inner, "example.org").rcode() == dns.rcode.SERVFAIL
    assert ask(inner, "example.org", tcp=True).rcode() == dns.rcode.SERVFAIL


def test_many_addresses_are_cut_over_udp_and_whole_over_tcp(hosts: Hosts) -> None:
    hosts.start()
    tasks = [endpoint(number, hosts.two, 1) for number in range(2, 202)]
    hosts.apply([network(1)], [here := endpoint(1, hosts.one, 1), *tasks])
    inner = hosts.attach(hosts.one, task(here)).netns_fd
    plain = ask(inner, "web")
    assert plain.flags & dns.flags.TC
    assert 20 < len(addresses(plain)) < 32
    assert len(addresses(ask(inner, "web", use_edns=0, payload=4096))) > 60
    assert len(addresses(ask(inner, "web", tcp=True))) == 201


def test_garbage_is_dropped_and_the_server_lives(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [here := endpoint(1, hosts.one, 1)])
    inner = hosts.attach(hosts.one, task(here)).netns_fd
    with inside(inner), socket.socket(type=socket.SOCK_DGRAM) as sender:
        for garbage in (b"", b"x", os.urandom(100), b"\0" * 12, b"\xff" * 600):
            sender.sendto(garbage, (RESOLVER, 53))
    with inside(inner), socket.create_connection((RESOLVER, 53), timeout=2) as connection:
        connection.sendall(b"\0\4abcd")
        assert connection.recv(10) == b""
    assert addresses(ask(inner, "web")) == {"10.99.1.1"}


def test_strangers_on_the_lan_reach_no_resolver(hosts: Hosts) -> None:
    hosts.start()
    run(hosts.client, "ip", "route", "add", RESOLVER, "via", "172.31.0.1")
    assert not pings(hosts.client, RESOLVER)


def test_a_programs_own_resolver_library_finds_the_name(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [here := endpoint(1, hosts.one, 1)])
    sandbox = hosts.attach(hosts.one, task(here))
    assert sandbox.resolver == RESOLVER
    assert "10.99.1.1" in run(sandbox.netns_fd, "busybox", "nslookup", "web", RESOLVER, check=False)
