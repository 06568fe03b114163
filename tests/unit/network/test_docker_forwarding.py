"""When rules of ours are due beside Docker's, which, and what is told when they are refused."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest

from agent.network.firewalls.blocked_traffic import RequiredPorts, forwarded_traffic
from agent.network.firewalls.docker_forwarding import (
    FORWARD_CHAIN,
    ChainUpdate,
    DockerForwarding,
    forward_rules,
    plan_chain_update,
    removal_commands,
)
from shoal.errors import Unavailable

PORTS = RequiredPorts("eth0", IPv4Address("192.0.2.1"), 4789, 7441, 40053)
FORWARD = {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}
TO_DOCKER: dict[str, Any] = {"jump": {"target": "DOCKER"}}
ACCEPT: dict[str, Any] = {"accept": None}
COUNTER: dict[str, Any] = {"counter": {"packets": 7, "bytes": 700}}


def link(way: str, name: str, op: str = "==") -> dict[str, Any]:
    return {"match": {"left": {"meta": {"key": way}}, "op": op, "right": name}}


def rule(*expressions: dict[str, Any], chain: str = "FORWARD", handle: int = 1) -> dict[str, Any]:
    return {"rule": {"chain": chain, "handle": handle, "expr": expressions}}


def table(*rules: dict[str, Any], chains: Sequence[str] = ("DOCKER-USER", "DOCKER"), **of: str) -> list[dict[str, Any]]:
    return [{"chain": FORWARD | of}, *({"chain": {"name": name}} for name in chains), *rules]


DOCKERS = (
    rule({"jump": {"target": "DOCKER-USER"}}),
    rule(link("oifname", "docker0"), COUNTER, TO_DOCKER),
    rule(link("iifname", "docker0"), link("oifname", "docker0", "!="), COUNTER, ACCEPT),
)


def due(*given: dict[str, Any], **of: str) -> ChainUpdate | None:
    return plan_chain_update(FORWARD | of, table(*given, **of), forwarded_traffic(PORTS))


def ours(place: ChainUpdate, *, handle: int = 9) -> list[dict[str, Any]]:
    """As the kernel lists what the commands make, its jump with this handle."""
    listed: list[dict[str, Any]] = [{"chain": {"name": FORWARD_CHAIN}}]
    for command in (each.split() for each in place.commands if each.startswith("add rule")):
        matches = [
            link(way, command[command.index(way) + 1].strip('"')) for way in ("iifname", "oifname") if way in command
        ]
        verdict: dict[str, Any] = next(
            ({each: None} for each in ("accept", "return") if each in command), {"jump": {"target": FORWARD_CHAIN}}
        )
        listed.append(rule(*matches, COUNTER, verdict, chain=command[4], handle=handle))
    return listed


def test_rules_are_due_where_dockers_policy_drops() -> None:
    made = due(*DOCKERS)
    assert made is not None and made.opens
    *_, last = made.commands
    assert last.startswith(f"add rule ip filter FORWARD counter jump {FORWARD_CHAIN}")
    assert [str(each).partition(" counter")[0] for each in forward_rules(table(*DOCKERS))] == [
        'oifname "sh-*"',
        'oifname "shoal-*"',
        'oifname "docker0"',
        'iifname "sh-*"',
        'iifname "shoal-*"',
    ]


@pytest.mark.parametrize(
    "of", [{"policy": "accept"}, {"family": "inet"}, {"family": "bridge"}, {"name": "FORWARD", "family": "arp"}]
)
def test_none_are_due_elsewhere(of: dict[str, str]) -> None:
    assert due(*DOCKERS, **of) is None


def test_none_are_due_without_docker_or_beside_ufw() -> None:
    assert plan_chain_update(FORWARD, table(*DOCKERS, chains=()), forwarded_traffic(PORTS)) is None
    assert due(*DOCKERS, rule({"jump": {"target": "ufw-before-forward"}})) is None


def test_none_are_due_where_a_rule_drops_everything_and_some_are_where_it_drops_a_part() -> None:
    assert due(*DOCKERS, rule({"drop": None})) is None
    assert due(*DOCKERS, rule(link("iifname", "sh-*"), {"drop": None})) is not None


def test_a_rule_that_may_accept_some_is_not_enough() -> None:
    by_port = {"match": {"left": {"payload": {"protocol": "tcp", "field": "dport"}}, "op": "==", "right": 8080}}
    assert due(*DOCKERS, rule(by_port, ACCEPT)) is not None


def test_what_is_there_is_left_alone_whatever_the_policy() -> None:
    made = due(*DOCKERS)
    assert made is not None
    assert due(*DOCKERS, *ours(made)) is None
    assert due(*DOCKERS, *ours(made), policy="accept") is None


def test_ours_go_to_the_end_in_the_place_of_those_that_are_elsewhere_or_twice() -> None:
    made = due(*DOCKERS)
    assert made is not None
    for others in ([rule(ACCEPT, handle=11)], ours(made, handle=12)[-1:]):
        again = due(*DOCKERS, *ours(made), *others)
        assert again is not None and not again.opens
        assert "delete rule ip filter FORWARD handle 9" in again.commands
        assert again.commands[-1] == made.commands[-1]


def test_a_rule_of_ours_that_is_missing_or_asks_for_more_is_made_anew() -> None:
    made = due(*DOCKERS)
    assert made is not None
    whole = ours(made)
    less = due(*DOCKERS, *(each for each in whole if each != whole[1]))
    assert less is not None and less.opens
    whole[1]["rule"]["expr"] = [{"xt": {"type": "match", "name": "multiport"}}, *whole[1]["rule"]["expr"]]
    narrowed = due(*DOCKERS, *whole)
    assert narrowed is not None and narrowed.opens
    assert narrowed.commands[1] == f"flush chain ip filter {FORWARD_CHAIN}"


def test_a_new_network_of_dockers_is_followed_and_strange_names_are_not_written_into_commands() -> None:
    made = due(*DOCKERS)
    assert made is not None
    more = due(
        rule(link("oifname", "br-1"), TO_DOCKER),
        rule(link("oifname", 'x" accept; #'), TO_DOCKER),
        *DOCKERS,
        *ours(made),
    )
    assert more is not None and not more.opens
    assert any('oifname "br-1" counter return' in each for each in more.commands)
    assert not any("#" in each for each in more.commands)


def test_withdrawing_touches_nothing_else() -> None:
    made = due(*DOCKERS)
    assert made is not None
    assert removal_commands("ip", "filter", table(*DOCKERS)) == []
    assert removal_commands("ip", "filter", table(*DOCKERS, *ours(made))) == [
        "delete rule ip filter FORWARD handle 9",
        f"flush chain ip filter {FORWARD_CHAIN}",
        f"delete chain ip filter {FORWARD_CHAIN}",
    ]


class FakeRuleset:
    """Docker's, with or without ours; refuses what it is told to."""

    def __init__(self, *, refuses: bool = False) -> None:
        self._refuses = refuses
        self._rules = list(DOCKERS)
        self.commands: list[str] = []

    def list_chains(self) -> Sequence[dict[str, Any]]:
        return [
            each["chain"] | {"family": "ip", "table": "filter"}
            for each in self.list_rules("ip", "filter")
            if "chain" in each
        ]

    def list_rules(self, family: str, name: str) -> list[dict[str, Any]]:
        return table(*self._rules)

    def run(self, command: str) -> None:
        if self._refuses:
            raise Unavailable("nftables refused: no")
        self.commands.append(command)
        self._rules += ours(ChainUpdate("ip", "filter", "FORWARD", command.splitlines(), opens=True))

    def lose(self) -> None:
        self._rules = list(DOCKERS)


def test_what_is_done_first_is_no_repair_and_what_was_lost_is() -> None:
    reported: list[str] = []
    tables, beside = FakeRuleset(), DockerForwarding(repaired=reported.extend)
    for _ in range(3):
        assert beside.update_rules(tables, PORTS) == []
    assert (len(tables.commands), reported) == (1, [])
    tables.lose()
    assert beside.update_rules(tables, PORTS) == []
    assert len(tables.commands) == 2
    assert reported == ["the rules for container traffic in chain ip filter FORWARD were missing"]


def test_an_agent_that_comes_anew_knows_that_they_were_there() -> None:
    reported: list[str] = []
    tables = FakeRuleset()
    DockerForwarding(repaired=reported.extend).update_rules(tables, PORTS)
    later = DockerForwarding(repaired=reported.extend)
    later.update_rules(tables, PORTS)
    tables.lose()
    later.update_rules(tables, PORTS)
    assert len(reported) == 1


def test_a_refusal_is_told_with_what_is_in_the_way() -> None:
    reported: list[str] = []
    refused, obstacle = DockerForwarding(repaired=reported.extend).update_rules(FakeRuleset(refuses=True), PORTS)
    assert refused == "cannot add rules for container traffic behind Docker's: nftables refused: no"
    assert "chain FORWARD of nftables table ip filter drops traffic from containers" in obstacle
    assert not reported
