"""What iptables-legacy lists of its rules, which nftables does not show, and the command that then helps."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from agent.network.firewalls.blocked_traffic import RequiredPorts, legacy_blocked_traffic
from agent.network.firewalls.docker_forwarding import DockerForwarding
from agent.network.firewalls.legacy_iptables import filter_tables
from tests.integration.network.netns_hosts import inside, run

PORTS = RequiredPorts("eth0", IPv4Address("172.31.9.1"), 4789, 7441, 40053)
OTHERS = """
-N CHECKS
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "what goes on" -j ACCEPT
-A INPUT -j CHECKS
-A INPUT -s 192.0.2.0/24 -p tcp -m multiport --dports 22,80 -j LOG --log-prefix "by -j DROP "
-A CHECKS ! -i eth9 -p tcp --dport 22 -j ACCEPT
-A CHECKS -p udp --dport 5000:5100 -j ACCEPT
-A CHECKS -p tcp ! --syn -m conntrack ! --ctstate NEW -j DROP
"""


def legacy(home: int, *rules: str) -> None:
    for rule in rules:
        run(home, "sh", "-c", f"iptables-legacy {rule}")


def reported(home: int) -> list[str]:
    with inside(home):
        return list(legacy_blocked_traffic(filter_tables(), PORTS))


def test_tables_that_are_not_in_use_are_not_loaded(home: int) -> None:
    with inside(home):
        assert filter_tables() == {}
        assert Path("/proc/thread-self/net/ip_tables_names").read_text() == ""
    legacy(home, "-S")
    assert reported(home) == []


def test_a_policy_that_drops_is_reported_until_what_helps_was_done(home: int) -> None:
    legacy(home, "-P FORWARD DROP", "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT")
    repaired: list[str] = []
    with inside(home):
        (line,) = DockerForwarding(repaired=repaired.extend).check(PORTS)
    assert line.startswith("chain FORWARD of iptables-legacy drops traffic from containers: ")
    run(home, "sh", "-c", line.rpartition("next reload with: ")[2])
    assert reported(home) == []
    assert "-A FORWARD -i shoal-+ -j ACCEPT" in run(home, "iptables-legacy", "-S", "FORWARD")


def test_what_comes_to_the_host_is_checked_too(home: int) -> None:
    legacy(home, "-P INPUT DROP", *OTHERS.strip().splitlines())
    assert [line.partition(":")[0] for line in reported(home)] == [
        "chain INPUT of iptables-legacy drops DNS queries from containers",
        "chain INPUT of iptables-legacy drops overlay traffic from other nodes (UDP port 4789)",
        "chain INPUT of iptables-legacy drops connections from managers (TCP port 7441)",
    ]
    legacy(home, "-I CHECKS -p udp --dport 4000:5000 -j ACCEPT", "-A INPUT -p tcp -m multiport --dports 7441 -j ACCEPT")
    (asked,) = reported(home)
    assert "DNS queries" in asked
    run(home, "sh", "-c", asked.rpartition("next reload with: ")[2])
    assert reported(home) == []


def test_ipv6_is_another_program_and_others_chains_are_walked(home: int) -> None:
    for rule in ("-N ENDS", "-A ENDS -j REJECT", "-A FORWARD -i sh-+ -g ENDS"):
        run(home, "ip6tables-legacy", *rule.split())
    (line,) = reported(home)
    assert line.startswith("chain FORWARD of ip6tables-legacy drops traffic from containers: ")


@pytest.mark.parametrize(
    "accepting",
    [
        "-m mark --mark 1 -j ACCEPT",
        "-m conntrack --ctstate DNAT -j ACCEPT",
        "-m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
        "! -i docker0 -j ACCEPT",
        "-p tcp --syn -j ACCEPT",
        "-d 10.0.0.0/8 -j ACCEPT",
    ],
)
def test_what_may_let_packets_pass_is_taken_to(home: int, accepting: str) -> None:
    legacy(home, "-P FORWARD DROP")
    assert reported(home)
    legacy(home, f"-A FORWARD {accepting}")
    assert reported(home) == []
