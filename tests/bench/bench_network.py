"""Figures of the node's network, on hosts that are network namespaces: run `python -m tests.bench.bench_network`.

The machine is noisy: what is compared alternates in one batch, and medians and ratios are told.
"""

import asyncio
import json
import os
import statistics
import subprocess
import time
from contextlib import closing
from ipaddress import IPv4Address

import dns.message

from agent.network.dns.address_records import PreparedAddresses
from agent.network.dns.answer import decide
from agent.network.dns.askers import Asker
from agent.network.dns.zone import zone
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import VethEnd, add_veth
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, TaskEndpoint
from shoal.api.v1.task_pb2 import TaskAddress, TaskPort
from tests.bench.figures import Figure
from tests.integration.network.netns_hosts import Hosts, endpoint, inside, ip, network, run, task

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


def compare_throughput(hosts: Hosts, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Medians of ours and of raw VXLAN between the same namespaces, Gbit/s, and of their ratios. Runs alternate."""
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    one = hosts.attach(hosts.one, task(here)).netns_fd
    two = hosts.attach(hosts.two, task(there)).netns_fd
    raw_vxlan(hosts, (one, two))
    server = subprocess.Popen(
        ["nsenter", f"--net=/proc/{os.getpid()}/fd/{two}", "iperf3", "-s"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while "5201" not in run(two, "ss", "-ltn"):
            time.sleep(0.05)
        pairs = [(throughput(one, "10.99.1.2"), throughput(one, "10.98.0.2")) for _ in range(rounds)]
    finally:
        server.terminate()
        server.wait()
    ours, raw = (statistics.median(values) for values in zip(*pairs, strict=True))
    return ours, raw, statistics.median(mine / bare for mine, bare in pairs)


def bench_throughput(hosts: Hosts) -> None:
    ours, raw, ratio = compare_throughput(hosts)
    report("tcp_throughput", ours_gbit=round(ours, 2), raw_vxlan_gbit=round(raw, 2), ratio=round(ratio, 3))


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


def bench_programming(hosts: Hosts, count: int = 5000) -> None:
    wide = NetworkAssignment(network_id="wide", name="wide", subnet="10.100.0.0/16")
    many = [
        TaskEndpoint(
            task_id=f"task{number:09}",
            service_name="many",
            slot=number,
            node_id="node2",
            ready=True,
            addresses=[TaskAddress(network_id="wide", address=f"10.100.{number >> 8}.{number & 255}")],
        )
        for number in range(1, count + 1)
    ]
    peers = [hosts.one.peer, hosts.two.peer]
    node = hosts.one.network

    def seconds(endpoints: list[TaskEndpoint]) -> float:
        begin = time.perf_counter()
        hosts.one.tell([wide], endpoints, peers)
        return time.perf_counter() - begin

    fill, one_less, empty = seconds(many), seconds(many[1:]), seconds([])
    seconds(many)
    begin = time.perf_counter()
    hosts.one.call(node.verify())
    report(
        "programming",
        endpoints=count,
        fill_ms=round(fill * 1e3),
        one_change_ms=round(one_less * 1e3, 1),
        empty_ms=round(empty * 1e3),
        compare_ms=round((time.perf_counter() - begin) * 1e3),
    )


def bench_dns(hosts: Hosts, count: int = 3000) -> None:
    """Queries a second that are decided on one core, none of them kept: a service of 10 tasks on a network of 250."""
    tasks = [endpoint(number, hosts.two, 1, service=f"s{number // 10}") for number in range(1, 251)]
    names = zone([network(1)], tasks)
    asker = Asker(("net1",), may_leave=True)
    wire = dns.message.make_query("s7", "A", use_edns=0).to_wire()
    begin = time.perf_counter()
    for _ in range(count):
        assert isinstance(decide(wire, asker, names, ttl=5, tcp=False), PreparedAddresses)
    report("dns_answers", per_second=round(count / (time.perf_counter() - begin)))
    assert IPv4Address("10.99.1.1")


def measure() -> list[Figure]:
    """The figures with a target."""
    with Hosts() as hosts:
        hosts.start(spare_namespaces=8)
        ours, raw, ratio = compare_throughput(hosts)
    return [
        Figure("TCP between hosts over VXLAN", ours, "Gbit/s", scope="node network"),
        Figure("  raw VXLAN, same namespaces", raw, "Gbit/s", scope="floor"),
        Figure("  against raw VXLAN", ratio, "of it", at_least=0.95, scope="node network"),
    ]


def main() -> None:
    with Hosts() as hosts:
        hosts.start(spare_namespaces=8)
        bench_attach(hosts)
        bench_programming(hosts)
        bench_dns(hosts)
        bench_throughput(hosts)


if __name__ == "__main__":
    main()
