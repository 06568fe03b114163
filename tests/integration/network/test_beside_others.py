"""Beside other programs of the host: whose ports, rules and settings are theirs, and what is reported of them."""

import asyncio
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from agent.network.host.namespace_lock import lock_namespace
from shoal.api.v1.node_pb2 import NetworkCondition
from shoal.errors import Refused
from tests.integration.network.netns_hosts import (
    Host,
    Hosts,
    endpoint,
    inside,
    ip,
    network,
    pings,
    refused,
    run,
    task,
    tcp_echo,
    tcp_exchange,
    until,
)
from tests.integration.network.test_routing_mesh import MESH, ONE, TWO, behind, port, service, serving


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def condition(host: Host) -> NetworkCondition:
    """How the host's network is by now."""
    host.call(host.network.maintenance.inspect_host())
    return host.network.condition.current


def test_another_clusters_agent_is_refused_while_one_runs_and_while_its_containers_do(hosts: Hosts) -> None:
    hosts.start()
    here = endpoint(1, hosts.one, 1)
    hosts.apply([network(1)], [here])
    hosts.attach(hosts.one, task(here))
    other = Host(1, hosts.one.descriptor)
    other.node_id = "stranger"
    with pytest.raises(
        Refused, match=r"another agent is running in this network namespace \(process \d+, node node1\)"
    ):
        other.start()

    hosts.one.stop()
    with pytest.raises(Refused, match="this host still has 1 container of node node1"):
        other.start()
    with inside(hosts.one.descriptor), closing(lock_namespace("node1")):
        pass


def test_the_network_of_a_node_without_containers_may_be_anothers(hosts: Hosts) -> None:
    hosts.start()
    hosts.one.stop()
    other = Host(1, hosts.one.descriptor)
    other.node_id = "stranger"
    other.start()
    try:
        assert "shoal node stranger" in run(hosts.one.descriptor, "ip", "link", "show", "shoal-vx")
    finally:
        other.stop()


def test_a_program_of_the_host_keeps_its_port_until_it_ends(hosts: Hosts, stack: ExitStack) -> None:
    hosts.start()
    web = behind(1, hosts.two)
    with tcp_echo(hosts.one.descriptor, 8080) as own_clients:
        hosts.apply([MESH], [web], service(port()))
        clients = stack.enter_context(serving(hosts, hosts.two, web))
        assert tcp_exchange(hosts.client, ONE, 8080) == b"hello"
        assert (len(own_clients), len(clients)) == (1, 0)
        assert tcp_exchange(hosts.client, TWO, 8080) == b"hello"
        reported = condition(hosts.one)
        tunnel, program = reported.listeners
        assert (tunnel.port, tunnel.program) == (4789, "")  # the kernel's own
        assert (program.port, program.address) == (8080, "")
        (problem,) = reported.problems
        assert problem.startswith(f"port 8080/tcp is in use by {program.program} on this node")
        assert not condition(hosts.two).problems
    assert not condition(hosts.one).problems
    assert tcp_exchange(hosts.client, ONE, 8080) == b"hello"
    assert len(clients) == 2


def test_a_port_of_the_mesh_is_held_against_programs_that_come_later(hosts: Hosts) -> None:
    hosts.start()
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port()))
    with inside(hosts.one.descriptor):
        with pytest.raises(OSError, match="Address already in use"):
            socket.create_server(("", 8080))
        hosts.apply([MESH], [web], service(port(8081)))
        socket.create_server(("", 8080)).close()


def test_a_strict_host_lets_clients_in_that_another_node_leads_here(hosts: Hosts, stack: ExitStack) -> None:
    for host in (hosts.one, hosts.two):
        run(host.descriptor, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    hosts.start()
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port()))
    clients = stack.enter_context(serving(hosts, hosts.two, web))
    assert tcp_exchange(hosts.client, ONE, 8080) == b"hello"
    assert clients == ["172.31.0.100"]


def test_a_host_that_becomes_strict_is_followed(hosts: Hosts, stack: ExitStack) -> None:
    hosts.start()
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port()))
    stack.enter_context(serving(hosts, hosts.two, web))
    run(hosts.two.descriptor, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    assert refused(hosts.client, ONE, 8080)
    hosts.two.call(hosts.two.network.reconcile())
    assert tcp_exchange(hosts.client, ONE, 8080) == b"hello"


def test_a_chain_that_drops_what_containers_send_is_reported_with_the_command_that_helps(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    one, two = (hosts.attach(host, task(of)).netns_fd for host, of in ((hosts.one, here), (hosts.two, there)))
    hosts.one.nft(
        "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    )
    with tcp_echo(two, 80):
        assert refused(one, "10.99.1.2", 80)
        (problem,) = condition(hosts.one).problems
        assert problem.startswith("chain FORWARD of nftables table ip filter drops traffic from containers")
        hosts.one.nft(problem.partition("nft '")[2].rstrip("'"))
        assert tcp_exchange(one, "10.99.1.2", 80) == b"hello"
    assert not condition(hosts.one).problems


def test_a_firewall_that_drops_what_comes_to_this_host_is_reported_until_it_accepts_that(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    one, two = (hosts.attach(host, task(of)).netns_fd for host, of in ((hosts.one, here), (hosts.two, there)))
    open_to_others = "-A INPUT -p udp --dport 53 -m conntrack --ctstate NEW -j ACCEPT"  # not what containers ask
    for rule in ("-P INPUT DROP", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", open_to_others):
        run(hosts.one.descriptor, "iptables-nft", *rule.split())
    assert not pings(two, "10.99.1.1")
    reported = condition(hosts.one).problems
    assert [text.partition(" drops ")[2].partition(":")[0] for text in reported] == [
        "DNS queries from containers",
        "overlay traffic from other nodes (UDP port 4789)",
        "connections from managers (TCP port 7441)",
    ]
    for problem in reported:
        hosts.one.nft(problem.partition("nft '")[2].rstrip("'"))
    assert not condition(hosts.one).problems
    assert pings(two, "10.99.1.1")
    assert "find nobody.: SERVFAIL" in run(one, "busybox", "nslookup", "nobody.", "169.254.1.1", check=False)


def test_repairs_are_reported_once_in_a_while(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)])
    own = hosts.one.network

    async def first() -> NetworkCondition:
        async for reported in own.condition.reports():
            return reported
        raise AssertionError

    assert not hosts.one.call(first()).HasField("repaired")
    hosts.one.nft("delete table inet shoal")
    ip(hosts.one.descriptor, "link del shoal-vx")
    hosts.one.call(own.reconcile())
    reported = hosts.one.call(first()).repaired
    assert reported.count == 1
    assert "shoal-vx was missing or changed" in reported.description


def test_the_namespace_is_released_with_the_agent(hosts: Hosts) -> None:
    with inside(hosts.one.descriptor):
        lock_namespace("a").close()
        lock_namespace("b").close()


def test_a_deleted_link_of_a_container_is_created_again(hosts: Hosts, stack: ExitStack) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    one, two = (hosts.attach(host, task(of)).netns_fd for host, of in ((hosts.one, here), (hosts.two, there)))
    stack.enter_context(tcp_echo(two, 80))
    stack.enter_context(process_of(here.task_id, one))
    (link,) = hosts.one.call(container_links(hosts.one))
    ip(hosts.one.descriptor, f"link del {link}")
    assert refused(one, "10.99.1.2", 80)
    wrong = hosts.one.call(hosts.one.network.reconcile())
    assert f"link {link} was missing" in wrong
    assert tcp_exchange(one, "10.99.1.2", 80) == b"hello"
    assert pings(two, "10.99.1.1")
    assert not hosts.one.call(hosts.one.network.reconcile())


async def container_links(host: Host) -> list[str]:
    listed = await asyncio.to_thread(run, host.descriptor, "ip", "-o", "link")
    return re.findall(r"\d+: (sh-[^@:]+)", listed)


@contextmanager
def process_of(task_id: str, descriptor: int) -> Iterator[None]:
    """A process in the namespace and in a cgroup of the task's name, as a container's are."""
    root = Path("/sys/fs/cgroup")
    group = (root if (root / "cgroup.procs").exists() else root / "pids") / task_id
    group.mkdir()
    enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{descriptor}", "sleep", "60"]
    with subprocess.Popen(enter) as process:
        try:
            entered = Path(f"/proc/{process.pid}/ns/net")
            assert until(lambda: entered.stat().st_ino == os.fstat(descriptor).st_ino)
            (group / "cgroup.procs").write_text(str(process.pid))
            yield
        finally:
            process.kill()
            process.wait()
            until(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()
