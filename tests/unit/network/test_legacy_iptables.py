"""Rules of iptables-legacy in the form in which rules of nftables are walked."""

from ipaddress import IPv4Address

import pytest

from agent.network.firewalls.blocked_traffic import RequiredPorts, legacy_blocked_traffic
from agent.network.firewalls.legacy_iptables import parse_rules
from agent.network.firewalls.packet_verdict import Packet, drops

TUNNEL = Packet("it", {"iifname": "eth0", "l4proto": "udp", "udp dport": 4789, "ct state": "untracked"})


@pytest.mark.parametrize(
    ("rules", "dropped"),
    [
        ("", True),
        ("-A INPUT -p udp -m udp --dport 4789 -j ACCEPT", False),
        ("-A INPUT -p tcp -m tcp --dport 4789 -j ACCEPT", True),
        ("-A INPUT -p udp -m udp --dport 4000:4788 -j ACCEPT", True),
        ("-A INPUT -p udp -m udp ! --dport 4789 -j ACCEPT", True),
        ("-A INPUT -i eth+ -j ACCEPT", False),
        ("-A INPUT ! -i eth0 -j ACCEPT", True),
        ("-A INPUT -m state --state NEW,ESTABLISHED -j ACCEPT", True),
        ("-A INPUT -m conntrack ! --ctstate NEW -j ACCEPT", False),
        ("-A INPUT -m conntrack --ctstate SNAT -j ACCEPT", False),
        ("-A INPUT -m comment --comment 'by -i eth9 -j ACCEPT' -j OTHER", False),
        ("-A INPUT -g EMPTY\n-A INPUT -j ACCEPT", True),
        ("-A INPUT -j EMPTY\n-A INPUT -j ACCEPT", False),
        ("-A INPUT -j LOG --log-prefix '-j ACCEPT '", True),
        ("-A INPUT -s 192.0.2.0/24 -j ACCEPT", False),
        ("-A INPUT ! -s 192.0.2.0/24 -i eth9 -j ACCEPT", True),
    ],
)
def test_what_becomes_of_a_packet(rules: str, dropped: bool) -> None:
    text = f"-P INPUT DROP\n-P FORWARD ACCEPT\n-N OTHER\n-N EMPTY\n{rules}\n-A OTHER -j ACCEPT\n"
    assert drops(parse_rules(text), "INPUT", TUNNEL) is dropped


def test_each_family_is_told_with_its_own_program_and_for_its_own_needs() -> None:
    closed = parse_rules("-P INPUT DROP\n-P FORWARD DROP\n")
    ports = RequiredPorts("eth0", IPv4Address("192.0.2.1"), 4789, 7441, 40053)
    reported = list(legacy_blocked_traffic({"iptables-legacy": closed, "ip6tables-legacy": closed}, ports))
    helps = [line.rpartition("next reload with: ")[2] for line in reported]
    assert helps == [
        " && ".join(
            f"iptables-legacy -I FORWARD {way} {link} -j ACCEPT" for way in ("-i", "-o") for link in ("sh-+", "shoal-+")
        ),
        "iptables-legacy -I INPUT -i sh-+ -j ACCEPT",
        "iptables-legacy -I INPUT -p udp --dport 4789 -j ACCEPT",
        "iptables-legacy -I INPUT -p tcp --dport 7441 -j ACCEPT",
        helps[0].replace("iptables", "ip6tables"),
    ]
