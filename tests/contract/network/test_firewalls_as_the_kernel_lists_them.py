"""Whether firewalls let packets pass, by their rules as libnftables lists them: those of iptables, ufw, firewalld."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from agent.network.firewalls.blocked_traffic import RequiredPorts, blocked_traffic
from agent.network.firewalls.packet_verdict import Packet, drops
from agent.network.nftables.libnftables import Nftables
from tests.integration.network.netns_hosts import inside, run

PORTS = RequiredPorts("eth0", IPv4Address("172.31.9.1"), 4789, 7441, 40053)


@pytest.fixture
def tables(home: int) -> Iterator[Nftables]:
    with inside(home):
        library = Nftables()
    yield library
    library.close()


def iptables(home: int, rule: str) -> None:
    run(home, "iptables-nft", *rule.split())


def dropped(tables: Nftables) -> set[str]:
    """What is reported, in short."""
    words = {"DNS queries": "resolver", "UDP port 4789": "tunnel", "TCP port 7441": "agent", "FORWARD": "forward"}
    reported = blocked_traffic(tables.list_chains, tables.list_rules, PORTS)
    return {short for line in reported for word, short in words.items() if word in line}


UFW = """
-P INPUT DROP
-P FORWARD DROP
-N ufw-before-input
-N ufw-user-input
-N ufw-user-limit-accept
-N ufw-reject-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-reject-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -d 224.0.0.251/32 -p udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-user-input -p tcp --dport 22 -j ACCEPT
-A ufw-user-limit-accept -j ACCEPT
"""


def test_ufw_as_it_comes_and_after_what_helps(home: int, tables: Nftables) -> None:
    for line in UFW.strip().splitlines():
        iptables(home, line)
    assert dropped(tables) == {"resolver", "tunnel", "agent", "forward"}
    iptables(home, "-A ufw-user-input -p udp --dport 4789 -j ACCEPT")
    assert dropped(tables) == {"resolver", "agent", "forward"}
    run(
        home,
        "iptables-nft",
        *["-A", "ufw-user-input", "-p", "tcp", "-m", "multiport", "--dports", "7441,7442", "-j", "ACCEPT"],
    )
    iptables(home, "-A ufw-user-input -i sh-+ -j ACCEPT")
    assert dropped(tables) == {"forward"}
    for line in blocked_traffic(tables.list_chains, tables.list_rules, PORTS):
        tables.run(line.partition("nft '")[2].rstrip("'"))
    assert dropped(tables) == set()


def test_a_chain_that_ends_in_a_rejection_drops(home: int, tables: Nftables) -> None:
    run(
        home,
        "iptables-nft",
        *["-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"],
    )
    assert dropped(tables) == set()
    iptables(home, "-A INPUT -j REJECT --reject-with icmp-host-prohibited")
    assert dropped(tables) == {"resolver", "tunnel", "agent"}


FIREWALLD = """
table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES {
    iifname "eth0" goto filter_IN_public
    goto filter_IN_public
  }
  chain filter_IN_public {
    jump filter_IN_public_allow
    meta l4proto { icmp, ipv6-icmp } accept
  }
  chain filter_IN_public_allow {
    tcp dport 22 accept
    udp dport { 500, 4700-4800 } accept
  }
  chain filter_IN_trusted { accept; }
}
"""


def test_a_resolver_that_is_open_to_others_is_not_open_to_containers(home: int, tables: Nftables) -> None:
    """Their questions come to a port of their own; tunnels' packets come untracked."""
    for rule in (
        "-P INPUT DROP",
        "-A INPUT -p udp --dport 53 -j ACCEPT",
        "-A INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT",
    ):
        iptables(home, rule)
    assert dropped(tables) == {"resolver", "agent"}
    iptables(home, "-A INPUT -m conntrack --ctstate NEW -j ACCEPT")
    assert dropped(tables) == set()


def test_firewalld_with_a_port_and_with_a_zone(tables: Nftables) -> None:
    tables.run(FIREWALLD)
    assert dropped(tables) == {"resolver", "agent"}
    tables.run('insert rule inet firewalld filter_INPUT_ZONES iifname "sh-*" goto filter_IN_trusted')
    assert dropped(tables) == {"agent"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("drop", True),
        ("counter log drop", True),
        ("limit rate 5/second accept; drop", False),
        ("ip saddr 192.0.2.0/24 drop; accept", False),
        ("ip saddr 192.0.2.0/24 accept; drop", False),
        ("tcp dport 4789 accept; drop", True),
        ("udp dport != 4789 accept; drop", True),
        ("udp dport >= 4000 accept; drop", False),
        ("udp dport @open accept; drop", False),
        ("meta l4proto udp th dport 53 accept; drop", True),
        ("ct state vmap { established : accept, untracked : drop }", True),
        ("ct state vmap { established : accept, untracked : accept }; drop", False),
        ("udp dport vmap { 4789 : jump other }; drop", False),
        ("udp dport vmap { 4790 : jump other }; drop", True),
        ("iifname { eth0, eth1 } jump other; drop", False),
        ("iifname != eth0 jump other; drop", True),
        ("jump empty; drop", True),
        ("goto empty; accept", True),
        ("return; accept", True),
        ("ct status dnat accept; drop", True),
    ],
)
def test_what_becomes_of_a_packet(tables: Nftables, rules: str, expected: bool) -> None:
    lines = "\n".join(rules.split("; "))
    tables.run(
        "table inet t { set open { type inet_service; }\nchain other { accept; }\nchain empty { }\n"
        f"chain c {{ type filter hook input priority 0; policy drop;\n{lines}\n}}\n}}"
    )
    fields = {"iifname": "eth0", "l4proto": "udp", "udp dport": 4789, "ct state": "untracked", "ct status": "none"}
    assert drops(tables.list_rules("inet", "t"), "c", Packet("it", fields)) is expected
