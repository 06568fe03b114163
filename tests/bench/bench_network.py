"""Figures of the node's network, on hosts that are network namespaces: run `python -m tests.bench.bench_network`.

The machine is noisy: what is compared alternates in one batch, and medians and ratios are reported.
"""

import asyncio
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

import dns.message

from agent.network.cluster_state.overlay_tables import overlay_tables
from agent.network.dns.address_records import AddressAnswer
from agent.network.dns.answer import decide
from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.zone import build_zone
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import VethEnd, add_veth
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import VirtualAddress
from shoal.api.v1.task_pb2 import TaskAddress, TaskPort
from tests.bench.rig.bed import ARCHIVE
from tests.bench.rig.docker_overlay import Pair, docker_overlay
from tests.bench.rig.figures import Figure, p50, table
from tests.bench.rig.swarm import installed
from tests.integration.network.netns_hosts import Host, Hosts, endpoint, inside, ip, network, run, task

ROUNDS = 7
SECONDS = 2


def report(name: str, **figures: object) -> None:
    print(json.dumps({"bench": name, **figures}), flush=True)


def throughput(client: int, address: str) -> float:
    """Gbit/s of one TCP connection to the iperf3 server at the address."""
    output = run(client, "iperf3", "-J", "-t", str(SECONDS), "-c", address, seconds=30)
    return float(json.loads(output)["end"]["sum_received"]["bits_per_second"]) / 1e9


def raw_vxlan(hosts: Hosts, containers: tuple[int, int]) -> None:
    """A second overlay between the same containers: bare routed VXLAN, no rules that concern it. 10.98.0.1 and .2."""
    for number, (host, container) in enumerate(zip((hosts.one, hosts.two), containers, strict=True), 1):
        other = 3 - number
        with inside(host.descriptor), closing(Connection()) as connection:
            ends = VethEnd("raw0", "02:00:00:00:00:01"), VethEnd("raw1", f"02:00:00:00:01:0{number}")
            message = add_veth(*ends, container, 1450, 0)
            # Index 2 is taken by the first link of the container: let the kernel choose.
            connection.apply([message._replace(body=message.body.replace(b"\x02\0\0\0\0\0\0\0", b"\0" * 8, 1))])
        ip(
            host.descriptor,
            f"link add rawvx address 02:99:00:00:00:0{number} mtu 1450 type vxlan id 77 dstport 4790 "
            f"local 172.31.0.{number} nolearning",
            "link set rawvx up",
            "link set raw0 up",
            f"addr add 100.64.0.{number}/32 dev rawvx",
            f"route add 10.98.0.{number}/32 dev raw0",
            f"neigh add 10.98.0.{number} lladdr 02:00:00:00:01:0{number} dev raw0",
            f"neigh add 100.64.0.{other} lladdr 02:99:00:00:00:0{other} dev rawvx",
            f"route add 10.98.0.{other}/32 via 100.64.0.{other} dev rawvx onlink",
        )
        fdb = f"fdb add 02:99:00:00:00:0{other} dev rawvx dst 172.31.0.{other} self permanent"
        run(host.descriptor, "bridge", *fdb.split())
        ip(
            container,
            "link set raw1 up",
            f"addr add 10.98.0.{number}/32 dev raw1",
            "route add 169.254.2.1 dev raw1",
            "neigh add 169.254.2.1 lladdr 02:00:00:00:00:01 dev raw1",
            f"route add 10.98.0.{other}/32 via 169.254.2.1 dev raw1 src 10.98.0.{number}",
        )


@contextmanager
def iperf_server(container: int) -> Iterator[None]:
    """An iperf3 server in a container until the end of the block."""
    server = subprocess.Popen(
        ["nsenter", f"--net=/proc/{os.getpid()}/fd/{container}", "iperf3", "-s"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while "5201" not in run(container, "ss", "-ltn"):
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait()


@dataclass(frozen=True)
class Throughput:
    """Gbit/s of each round; rounds alternate. `docker` is empty without Docker."""

    ours: Sequence[float]
    raw: Sequence[float]
    docker: Sequence[float]

    def against(self, others: Sequence[float]) -> float:
        """The median of ours to others' of the same round."""
        return statistics.median(mine / other for mine, other in zip(self.ours, others, strict=True))


def compare_throughput(hosts: Hosts, docker: Pair | None, rounds: int = ROUNDS) -> Throughput:
    """Ours, raw VXLAN between the same namespaces, and Docker's overlay between two of its containers."""
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    one = hosts.attach(hosts.one, task(here)).netns_fd
    two = hosts.attach(hosts.two, task(there)).netns_fd
    raw_vxlan(hosts, (one, two))
    ours: list[float] = []
    raw: list[float] = []
    theirs: list[float] = []
    with ExitStack() as servers:
        servers.enter_context(iperf_server(two))
        if docker is not None:
            servers.enter_context(iperf_server(docker.server))
        for _ in range(rounds):
            ours.append(throughput(one, "10.99.1.2"))
            raw.append(throughput(one, "10.98.0.2"))
            if docker is not None:
                theirs.append(throughput(docker.client, docker.address))
    return Throughput(ours, raw, theirs)


def bench_attach(hosts: Hosts, count: int = 200) -> None:
    """One after the other, each with a published port, while the pool is refilled in the background."""
    endpoints = [endpoint(number, hosts.one, 1) for number in range(3, 3 + count)]
    hosts.apply([network(1)], endpoints)

    async def measure() -> tuple[list[float], list[float]]:
        attach, detach = [], []
        for each in endpoints:
            await asyncio.sleep(0.01)
            begin = time.perf_counter()
            port = TaskPort(protocol=1, target=80, published=20000 + each.slot)
            sandbox = await hosts.one.network.attach(task(each, port))
            attach.append(time.perf_counter() - begin)
            os.close(sandbox.netns_fd)
        for each in endpoints:
            begin = time.perf_counter()
            await hosts.one.network.detach(each.task_id)
            detach.append(time.perf_counter() - begin)
        return attach, detach

    attach, detach = hosts.one.call(measure())
    for name, values in (("attach", attach), ("detach", detach)):
        cuts = statistics.quantiles(values, n=100)
        report(name, p50_ms=round(cuts[49] * 1e3, 2), p99_ms=round(cuts[98] * 1e3, 2))


@dataclass(frozen=True)
class Programming:
    """Seconds that a node takes for one network of many endpoints, all of one service with a virtual address."""

    fill: float
    one_change: float
    empty: float
    compare: float
    derive: float


def programming(host: Host, peers: Sequence[Peer], count: int = 5000) -> Programming:
    """On a host without any assignments yet."""
    wide = NetworkAssignment(network_id="wide", name="wide", subnet="10.100.0.0/16")
    virtual = [VirtualAddress(network_id="wide", address="10.100.255.1")]
    service = ServiceEndpoint(service_id="id-of-many", service_name="many", virtual_addresses=virtual)
    many = [
        TaskEndpoint(
            task_id=f"task{number:09}",
            service_id="id-of-many",
            service_name="many",
            slot=number,
            node_id="node2",
            ready=True,
            addresses=[TaskAddress(network_id="wide", address=f"10.100.{number >> 8}.{number & 255}")],
        )
        for number in range(1, count + 1)
    ]

    def seconds(endpoints: list[TaskEndpoint]) -> float:
        begin = time.perf_counter()
        host.assign([wide], endpoints, peers, [service])
        return time.perf_counter() - begin

    fill, one_less, empty = seconds(many), seconds(many[1:]), seconds([])
    seconds(many)
    begin = time.perf_counter()
    host.call(host.network.reconcile())
    compare = time.perf_counter() - begin
    begin = time.perf_counter()
    overlay_tables([wide], many, peers, "node1")
    return Programming(fill, one_less, empty, compare, time.perf_counter() - begin)


def bench_dns(hosts: Hosts, count: int = 3000) -> None:
    """Queries a second that are decided on one core, none of them kept: a service of 10 tasks on a network of 250."""
    tasks = [endpoint(number, hosts.two, 1, service=f"s{number // 10}") for number in range(1, 251)]
    names = build_zone([network(1)], tasks)
    dns_client = DnsClient(("net1",), has_egress=True)
    wire = dns.message.make_query("s7", "A", use_edns=0).to_wire()
    begin = time.perf_counter()
    for _ in range(count):
        assert isinstance(decide(wire, dns_client, names, ttl=5, tcp=False), AddressAnswer)
    report("dns_answers", per_second=round(count / (time.perf_counter() - begin)))
    assert IPv4Address("10.99.1.1")


def measure() -> list[Figure]:
    """The figures with a target."""
    return [*_throughput_figures(), *programming_figures()]


def _throughput_figures() -> list[Figure]:
    with Hosts() as hosts, ExitStack() as stack:
        hosts.start(spare_namespaces=8)
        docker = stack.enter_context(docker_overlay(ARCHIVE)) if installed() else None
        found = compare_throughput(hosts, docker)
    figures = [
        Figure("TCP between hosts over VXLAN", p50(found.ours), "Gbit/s", scope="node network"),
        Figure("  raw VXLAN, same namespaces", p50(found.raw), "Gbit/s", scope="floor"),
        Figure("  against raw VXLAN", found.against(found.raw), "of it", at_least=0.95, scope="node network"),
    ]
    if found.docker:
        figures += [
            Figure("  Docker's overlay", p50(found.docker), "Gbit/s", scope="Docker"),
            Figure("  against Docker's", found.against(found.docker), "of it", at_least=1.0, scope="node network"),
        ]
    return figures


def programming_figures() -> list[Figure]:
    """Of a network of 5,000 endpoints on a fresh node, three times."""
    found = []
    for _ in range(3):
        with Hosts() as hosts:
            hosts.start()
            found.append(programming(hosts.one, [hosts.one.peer, hosts.two.peer]))
    return [
        Figure("5,000 endpoints on a fresh node", p50([each.fill for each in found]), "s", 2.0, scope="node network"),
        Figure("  one change of them", p50([each.one_change for each in found]) * 1000, "ms", scope="node network"),
        Figure("  comparison of all", p50([each.compare for each in found]), "s", scope="node network"),
        Figure(
            "  overlay tables of all, derived", 1000 * p50([each.derive for each in found]), "ms", scope="node network"
        ),
    ]


def main() -> None:
    with Hosts() as hosts:
        hosts.start(spare_namespaces=8)
        bench_attach(hosts)
        bench_dns(hosts)
    print(table(measure()))


if __name__ == "__main__":
    main()
