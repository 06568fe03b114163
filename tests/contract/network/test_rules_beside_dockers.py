"""Our rules beside Docker's: as iptables-nft reads, saves and restores them, and as they follow what others do."""

import os
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from agent.network.attachments.namespaces import create_namespace
from agent.network.firewalls.blocked_traffic import RequiredPorts
from agent.network.firewalls.docker_forwarding import FORWARD_CHAIN, DockerForwarding, remove_rules
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.ruleset_generation import KernelGeneration
from tests.fakes.docker_rules import DOCKER_20, DOCKER_20_IPV6, DOCKER_28
from tests.integration.network.netns_hosts import inside, run

PORTS = RequiredPorts("eth0", IPv4Address("172.31.9.1"), 4789, 7441, 40053)
COMMENT = '-m comment --comment "Shoal: container traffic"'


class Place:
    """A network namespace, and what looks at its rules."""

    def __init__(self) -> None:
        self.home, connection = create_namespace()
        connection.close()
        self.repaired: list[str] = []
        self._beside = DockerForwarding(repaired=self.repaired.extend)
        with inside(self.home):
            self.tables = Nftables()
            self._generation = KernelGeneration()

    def close(self) -> None:
        self._generation.close()
        self.tables.close()
        os.close(self.home)

    def look(self) -> list[str]:
        return self._beside.update_rules(self.tables, PORTS)

    def is_settled(self) -> bool:
        """Whether a look changes nothing."""
        before = self._generation()
        self.look()
        return self._generation() == before

    def iptables(self, rule: str, program: str = "iptables-nft") -> str:
        return run(self.home, program, *rule.split())

    def saved(self, program: str = "iptables-nft-save") -> list[str]:
        return [line for line in run(self.home, program).splitlines() if not line.startswith("#")]

    def restore(self, rules: str, program: str = "iptables-nft-restore", *options: str) -> None:
        enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.home}", program, *options]
        subprocess.run(enter, input=rules, text=True, check=True)

    def forward(self) -> list[str]:
        return self.iptables("-S FORWARD").splitlines()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


def test_iptables_reads_our_rules_at_the_end_of_dockers(place: Place) -> None:
    place.restore(DOCKER_20)
    before = place.forward()
    assert not place.look()
    assert place.forward() == [*before, f"-A FORWARD {COMMENT} -j {FORWARD_CHAIN}"]
    assert place.iptables(f"-S {FORWARD_CHAIN}").splitlines() == [
        f"-N {FORWARD_CHAIN}",
        f"-A {FORWARD_CHAIN} -o sh-+ {COMMENT} -j ACCEPT",
        f"-A {FORWARD_CHAIN} -o shoal-+ {COMMENT} -j ACCEPT",
        f"-A {FORWARD_CHAIN} -o br-089394291a42 {COMMENT} -j RETURN",
        f"-A {FORWARD_CHAIN} -o docker0 {COMMENT} -j RETURN",
        f"-A {FORWARD_CHAIN} -i sh-+ {COMMENT} -j ACCEPT",
        f"-A {FORWARD_CHAIN} -i shoal-+ {COMMENT} -j ACCEPT",
    ]
    assert "sh-+" in place.iptables(f"-L {FORWARD_CHAIN} -nv")
    assert place.is_settled()


@pytest.mark.parametrize(
    ("rules", "family"), [(DOCKER_20, "iptables"), (DOCKER_28, "iptables"), (DOCKER_20_IPV6, "ip6tables")]
)
def test_what_is_saved_and_restored_is_known_again(place: Place, rules: str, family: str) -> None:
    place.restore(rules, f"{family}-nft-restore")
    before = place.saved(f"{family}-nft-save")
    assert not place.look()
    with_ours = place.saved(f"{family}-nft-save")
    assert with_ours != before
    place.restore("\n".join(with_ours) + "\n", f"{family}-nft-restore")
    assert place.saved(f"{family}-nft-save") == with_ours
    assert place.is_settled()
    remove_rules(place.tables)
    assert place.saved(f"{family}-nft-save") == before
    remove_rules(place.tables)


def test_rules_that_others_add_come_before_ours(place: Place) -> None:
    place.restore(DOCKER_20)
    place.look()
    place.iptables("-I FORWARD 3 -o br-1 -j DOCKER")
    place.iptables("-A FORWARD -i eth7 -j ACCEPT")
    assert not place.look()
    assert place.forward()[-2:] == ["-A FORWARD -i eth7 -j ACCEPT", f"-A FORWARD {COMMENT} -j {FORWARD_CHAIN}"]
    assert f"-A {FORWARD_CHAIN} -o br-1 {COMMENT} -j RETURN" in place.iptables(f"-S {FORWARD_CHAIN}").splitlines()
    assert place.is_settled() and not place.repaired

    place.iptables("-A FORWARD -j REJECT")
    (reported,) = place.look()
    assert "chain FORWARD of nftables table ip filter drops traffic from containers" in reported
    assert place.forward()[-1].endswith(FORWARD_CHAIN)
    assert place.is_settled()


def test_rules_are_found_missing_in_both_families_and_set_right_in_one_transaction(place: Place) -> None:
    place.restore(DOCKER_28)
    place.restore(DOCKER_20_IPV6, "ip6tables-nft-restore")
    place.look()
    place.iptables("-F FORWARD")
    place.iptables(f"-D {FORWARD_CHAIN} 1", "ip6tables-nft")
    place.restore(DOCKER_28, "iptables-nft-restore", "--noflush")
    assert not place.look()
    assert place.repaired == [
        f"the rules for container traffic in chain {family} filter FORWARD were missing" for family in ("ip", "ip6")
    ]
    assert place.is_settled()


def test_our_chain_is_there_again_after_all_of_dockers_were_deleted(place: Place) -> None:
    place.restore(DOCKER_20)
    place.look()
    place.tables.run("delete table ip filter")
    assert not place.look()
    assert FORWARD_CHAIN not in "".join(place.saved())
    place.restore(DOCKER_20)
    assert not place.look()
    assert len(place.repaired) == 1 and place.is_settled()


@pytest.mark.parametrize(
    "others",
    [
        "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i eth0 -o eth1 -j ACCEPT\nCOMMIT\n",
        DOCKER_20.replace(":DOCKER - ", ":ufw-before-forward - [0:0]\n:DOCKER - ").replace(
            "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-USER\n-A FORWARD -j ufw-before-forward"
        ),
        DOCKER_20.replace("-A DOCKER-USER -j RETURN", "-A DOCKER-USER -j DROP"),
    ],
)
def test_rules_that_others_want_are_reported_and_left_alone(place: Place, others: str) -> None:
    place.restore(others)
    before = place.saved()
    (reported,) = place.look()
    assert "drops traffic from containers" in reported
    assert place.saved() == before
    place.tables.run(reported.partition("nft '")[2].rstrip("'"))
    assert "-A FORWARD -i shoal-+ -j ACCEPT" in place.forward(), "iptables understands what is said to help"
    assert not place.look()


def test_a_policy_that_is_said_to_be_another_firewalls_later_is_its_own_again(place: Place) -> None:
    place.restore(DOCKER_20)
    before = place.saved()
    place.look()
    place.iptables("-N ufw-before-forward")
    place.iptables("-A FORWARD -j ufw-before-forward")
    (reported,) = place.look()
    assert "drops traffic from containers" in reported
    place.iptables("-F ufw-before-forward")
    place.iptables("-D FORWARD -j ufw-before-forward")
    place.iptables("-X ufw-before-forward")
    assert place.saved() == before


def test_a_policy_that_accepts_needs_nothing_and_a_look_leaves_what_is_there(place: Place) -> None:
    place.restore(DOCKER_20.replace(":FORWARD DROP", ":FORWARD ACCEPT"))
    assert place.is_settled() and FORWARD_CHAIN not in "".join(place.saved())
    place.iptables("-P FORWARD DROP")
    place.look()
    place.iptables("-P FORWARD ACCEPT")
    assert place.is_settled() and place.forward()[-1].endswith(FORWARD_CHAIN)
