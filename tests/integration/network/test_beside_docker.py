"""Where Docker's policy is to drop what is forwarded, containers' traffic passes, and what it closes stays closed."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from shoal.api.v1.node_pb2 import NetworkCondition
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskPort
from tests.fakes.docker_rules import DOCKER_20, DOCKER_20_IPV6, DOCKER_28
from tests.integration.network.netns_hosts import Host, Hosts, ip, pings, refused, run, task, tcp_exchange, until
from tests.integration.network.test_ipv6_between_hosts import dual, echo, fails, placed

PUBLISHED = TaskPort(protocol=PublishedPort.TCP, target=80, published=9090)
OUTSIDE = "172.31.0.100"


def load(host: Host, rules: str, program: str = "iptables-nft-restore") -> None:
    enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{host.descriptor}", program]
    subprocess.run(enter, input=rules, text=True, check=True)


def load_docker(host: Host, rules: str = DOCKER_20) -> None:
    load(host, rules)
    load(host, DOCKER_20_IPV6, "ip6tables-nft-restore")


def saved(host: Host) -> str:
    """All rules of iptables, without when that was asked and how many packets the policies have met."""
    said = "".join(run(host.descriptor, f"{program}-nft-save") for program in ("iptables", "ip6tables"))
    return "\n".join(line.partition(" [")[0] for line in said.splitlines() if not line.startswith("#"))


def rules(host: Host, chain: str = "FORWARD") -> list[str]:
    return run(host.descriptor, "iptables-nft", "-S", chain).splitlines()


def condition(host: Host) -> NetworkCondition:
    host.call(host.network.maintenance.inspect_host())
    return host.network.condition.current


@dataclass
class Pair:
    """Containers on the two hosts, each of which answers at port 80, the first one at port 9090 of its host too."""

    hosts: Hosts
    one: int
    two: int

    def overlay(self) -> bool:
        return not refused(self.one, "10.99.1.2", 80)

    def ways(self) -> dict[str, bool]:
        """What passes of that which has to."""
        here = self.hosts.one.address
        return {
            "overlay": self.overlay(),
            "overlay back": not refused(self.two, "10.99.1.1", 80),
            "IPv6": fails(self.one, "fd99:1::2").startswith("answered"),
            "published": not refused(self.hosts.client, here, 9090),
            "published, from another host": not refused(self.two, here, 9090),
            "egress": pings(self.one, OUTSIDE) and pings(self.two, OUTSIDE),
        }


@contextmanager
def containers(hosts: Hosts) -> Iterator[Pair]:
    here, there = placed(1, hosts.one, 1), placed(2, hosts.two, 1)
    hosts.apply([dual(1)], [here, there])
    one = hosts.attach(hosts.one, task(here, PUBLISHED)).netns_fd
    two = hosts.attach(hosts.two, task(there)).netns_fd
    with echo(one, 80), echo(two, 80):
        yield Pair(hosts, one, two)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def test_containers_reach_each_other_and_are_reached(hosts: Hosts, stack: ExitStack) -> None:
    load_docker(hosts.one)
    load_docker(hosts.two, DOCKER_28)
    hosts.start()
    pair = stack.enter_context(containers(hosts))
    assert all(pair.ways().values()), pair.ways()
    assert not condition(hosts.one).problems and not condition(hosts.two).problems
    for host in (hosts.one, hosts.two):
        assert not condition(host).HasField("repaired"), "what is done first undoes nobody's work"
        flush_ours(host)
    assert not any(pair.ways().values()), "it is these rules that let it pass"


def remove_jump(host: Host) -> None:
    """As it is listed, at its place."""
    for program in ("iptables-nft", "ip6tables-nft"):
        policy, *listed = run(host.descriptor, program, "-S", "FORWARD").splitlines()
        assert policy == "-P FORWARD DROP" and listed[-1].endswith("-j SHOAL-FORWARD")
        run(host.descriptor, program, "-D", "FORWARD", str(len(listed)))


def flush_ours(host: Host) -> None:
    host.nft("flush chain ip filter SHOAL-FORWARD; flush chain ip6 filter SHOAL-FORWARD")


def load_again(host: Host) -> None:
    for program in ("iptables-nft", "ip6tables-nft"):
        run(host.descriptor, program, "-F", "FORWARD")
    load_docker(host)


def delete_tables(host: Host) -> None:
    host.nft("delete table ip filter; delete table ip6 filter")
    load_docker(host)


@pytest.mark.parametrize("somebody", [remove_jump, flush_ours, load_again, delete_tables])
def test_rules_that_somebody_removed_come_back(
    hosts: Hosts, stack: ExitStack, somebody: Callable[[Host], None]
) -> None:
    load_docker(hosts.one)
    hosts.start()
    pair = stack.enter_context(containers(hosts))
    before = saved(hosts.one)
    somebody(hosts.one)
    assert not pair.overlay()
    reported = condition(hosts.one).repaired
    assert (
        "container traffic in chain ip" in reported.description
        and "filter FORWARD were missing" in reported.description
    )
    assert reported.count == 1
    assert all(pair.ways().values()), pair.ways()
    assert sorted(saved(hosts.one).splitlines()) == sorted(before.splitlines())
    assert condition(hosts.one).repaired.count == 1, "and that is all"


def test_the_rules_come_back_by_themselves_and_no_look_adds_them_twice(hosts: Hosts) -> None:
    load_docker(hosts.one)
    hosts.one.start(reconcile_seconds=0.1)
    before = saved(hosts.one)
    load_again(hosts.one)
    assert until(lambda: sorted(saved(hosts.one).splitlines()) == sorted(before.splitlines()))
    for _ in range(3):
        assert not condition(hosts.one).problems
    assert rules(hosts.one)[-1].endswith("-j SHOAL-FORWARD")
    assert sum("SHOAL-FORWARD" in rule for rule in rules(hosts.one)) == 1


def test_docker_that_comes_later_is_followed(hosts: Hosts, stack: ExitStack) -> None:
    hosts.start()
    pair = stack.enter_context(containers(hosts))
    load_docker(hosts.one)
    assert not pair.overlay()
    assert not condition(hosts.one).HasField("repaired")
    assert all(pair.ways().values()), pair.ways()


def test_what_users_and_docker_close_stays_closed(hosts: Hosts, stack: ExitStack) -> None:
    load_docker(hosts.one)
    dockers = dockers_container(hosts, stack)
    hosts.start()
    pair = stack.enter_context(containers(hosts))
    for each in (80, 81):
        stack.enter_context(echo(dockers, each))
    assert tcp_exchange(pair.one, "172.17.0.2", 80) == b"hello", "what Docker opens"
    assert refused(pair.one, "172.17.0.2", 81), "what it does not"

    run(hosts.one.descriptor, "iptables-nft", "-I", "DOCKER-USER", "-i", "sh-+", "-o", "shoal-vx", "-j", "DROP")
    assert not pair.overlay() and pair.ways()["published"]
    (problem,) = condition(hosts.one).problems
    assert problem.startswith("chain FORWARD of nftables table ip filter drops traffic from containers")
    assert not pair.overlay()


def dockers_container(hosts: Hosts, stack: ExitStack) -> int:
    """A namespace at 172.17.0.2 behind a bridge of the first host, as Docker's containers are."""
    inner = hosts.namespace()
    ip(
        hosts.one.descriptor,
        "link add docker0 type bridge",
        "addr add 172.17.0.1/16 dev docker0",
        f"link add veth1 type veth peer name eth0 netns /proc/{os.getpid()}/fd/{inner}",
        "link set veth1 master docker0 up",
        "link set docker0 up",
    )
    ip(inner, "addr add 172.17.0.2/16 dev eth0", "link set eth0 up", "route add default via 172.17.0.1")
    return inner


def test_a_reset_takes_our_rules_and_nothing_else(hosts: Hosts) -> None:
    load_docker(hosts.one)
    run(hosts.one.descriptor, "iptables-nft", "-A", "FORWARD", "-i", "eth7", "-j", "ACCEPT")
    before = saved(hosts.one)
    hosts.one.start()
    assert saved(hosts.one) != before
    hosts.one.call(hosts.one.network.reset())
    hosts.one.stop()
    assert saved(hosts.one) == before
