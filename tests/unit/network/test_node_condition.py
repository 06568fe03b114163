"""How a node's network is told: what changes at once, repairs at a bounded rate; what stands in the way."""

import asyncio
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from agent.network.condition_reporter import REPAIR_INTERVAL_SECONDS, ConditionReporter
from agent.network.firewalls.blocked_traffic import RequiredPorts, blocked_traffic
from agent.network.host.namespace_lock import foreign_containers, owner_of
from agent.network.netlink.rtnetlink_dump import Link
from agent.network.netlink.sock_diag import Socket
from agent.network.ports.host_listeners import ProgramNames, foreign_sockets, listeners, programs_at
from shoal.api.v1.node_pb2 import HostListener, NetworkCondition, PathFault
from shoal.api.v1.service_pb2 import PublishedPort
from tests.fakes.virtual_time import run_virtual


def test_changes_are_told_at_once_and_repairs_once_in_a_quiet_time() -> None:
    reported: list[tuple[float, NetworkCondition]] = []

    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        begin = clock()
        condition = ConditionReporter(now_ms=lambda: 7)

        async def read() -> None:
            async for report in condition.reports():
                reported.append((clock() - begin, report))  # noqa: PERF401  (it never ends)

        reader = asyncio.create_task(read())
        await asyncio.sleep(1)
        for _ in range(10):
            condition.record_repair(["the table was missing", "and more"])
            await asyncio.sleep(20)
        condition.set_network(problems=["port taken"], listeners=[], underlay_mtu=1500)
        await asyncio.sleep(1)
        condition.set_network(problems=["port taken"], listeners=[], underlay_mtu=1500)
        await asyncio.sleep(REPAIR_INTERVAL_SECONDS)
        reader.cancel()

    run_virtual(scenario())
    assert [(round(at), report.repaired.count, list(report.problems)) for at, report in reported] == [
        (0, 0, []),
        (1, 1, []),
        (61, 4, []),
        (121, 7, []),
        (181, 10, []),
        (201, 10, ["port taken"]),
    ]
    assert reported[-1][1].repaired.description == "the table was missing (and 1 more)"
    assert reported[-1][1].underlay_mtu == 1500


def test_the_disk_is_told_of_beside_the_network() -> None:
    condition = ConditionReporter(now_ms=lambda: 7)
    condition.set_network(problems=["port taken"], listeners=[HostListener(port=80)], underlay_mtu=1500)
    condition.set_disk_problem("full")
    condition.set_network(problems=[], listeners=[HostListener(port=80)], underlay_mtu=1400)
    assert list(condition.current.problems) == ["full"] and condition.current.underlay_mtu == 1400
    condition.set_disk_problem("no room for images", disk="images")
    assert list(condition.current.problems)[:2] == ["full", "no room for images"]
    condition.set_disk_problem("", disk="images")
    condition.set_disk_problem("")
    assert list(condition.current.problems) == [] and [each.port for each in condition.current.listeners] == [80]


def test_paths_and_the_rest_are_told_together() -> None:
    condition = ConditionReporter(now_ms=lambda: 7)
    condition.record_repair(["the table was missing"])
    condition.set_path_faults([PathFault(address="192.0.2.2", mtu=1400)])
    condition.set_network(problems=["port taken"], listeners=[], underlay_mtu=1500)
    reported = condition.current
    assert (reported.repaired.count, reported.paths[0].mtu, list(reported.problems)) == (1, 1400, ["port taken"])
    condition.set_path_faults([])
    assert not condition.current.paths
    assert condition.current.problems == ["port taken"]


def socket(port: int, *, protocol: int = 6, address: str = "0.0.0.0", inode: int = 9) -> Socket:
    bound = IPv6Address(address) if ":" in address else IPv4Address(address)
    return Socket(protocol, bound, port, bound, 0, inode)


def test_our_own_sockets_and_those_of_clients_are_no_listeners() -> None:
    given = [
        socket(80),
        socket(81, inode=5),
        socket(53, address="169.254.1.1"),
        socket(40_000, protocol=17),
        socket(41_000),
    ]
    assert [each.port for each in foreign_sockets(given, {5}, range(32_768, 61_000))] == [80, 41_000]


def test_listeners_of_both_families_are_one() -> None:
    found = listeners(
        [socket(80), socket(80, address="::", inode=8), socket(22, address="::ffff:10.0.0.1")], {8: "nginx"}
    )
    assert found == [
        HostListener(protocol=PublishedPort.TCP, port=22, address="10.0.0.1"),
        HostListener(protocol=PublishedPort.TCP, port=80, program="nginx"),
    ]
    assert programs_at(found, 6, 80) == "nginx"
    assert programs_at(found, 6, 22) == "another program"


def test_programs_are_found_by_their_sockets(tmp_path: Path) -> None:
    (tmp_path / "812" / "fd").mkdir(parents=True)
    (tmp_path / "812" / "comm").write_text("nginx\n")
    (tmp_path / "812" / "fd" / "3").symlink_to("socket:[77]")
    (tmp_path / "self").mkdir()
    names = ProgramNames(tmp_path)
    assert {77: "nginx", 78: ""}.items() <= names.names_of([77, 78]).items()
    (tmp_path / "812" / "fd" / "3").unlink()
    assert names.names_of([77])[77] == "nginx"
    assert 78 not in names.names_of([77])


PORTS = RequiredPorts("eth0", IPv4Address("192.0.2.1"), 4789, 7441, 40053)
DROPPING = {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}


def problems_of(chain: dict[str, str], *rules: dict[str, Any]) -> list[str]:
    listed: list[dict[str, Any]] = [{"chain": chain}, {"rule": {"chain": chain["name"], "expr": rules}}]
    return list(blocked_traffic(lambda: [chain], lambda family, table: listed, PORTS))


@pytest.mark.parametrize(
    "change", [{"policy": "accept"}, {"hook": "output"}, {"family": "inet", "table": "shoal"}, {"family": "bridge"}]
)
def test_chains_that_let_us_pass_are_no_obstacles(change: dict[str, str]) -> None:
    assert not problems_of(DROPPING | change)


def test_each_chain_that_drops_is_told_once_with_the_command_that_helps() -> None:
    (reported,) = problems_of(DROPPING)
    assert "insert rule ip filter FORWARD iifname" in reported and "insert rule ip filter FORWARD oifname" in reported
    asked, tunnel, manager = problems_of(DROPPING | {"name": "INPUT", "hook": "input"})
    assert "INPUT of nftables table ip filter drops DNS queries from containers" in asked
    assert "insert rule ip filter INPUT udp dport 4789 accept" in tunnel
    assert "insert rule ip filter INPUT tcp dport 7441 accept" in manager
    other: dict[str, Any] = {"match": {"left": {"meta": {"key": "iifname"}}, "op": "!=", "right": "sh-*"}}
    unknown = {"xt": {"type": "match", "name": "multiport"}}
    (asked,) = problems_of(DROPPING | {"hook": "input"}, other, unknown, {"accept": None})
    assert "DNS queries from containers" in asked


def link(name: str, alias: str = "") -> Link:
    return Link(index=3, name=name, up=True, mtu=1450, mac="", alias=alias)


def test_whose_the_network_is() -> None:
    device = link("shoal-vx", "shoal node abc")
    assert owner_of([link("eth0", "shoal node x"), device]) == "abc"
    assert owner_of([link("shoal-vx", "mine")]) == owner_of([]) == ""
    assert foreign_containers([device], "other") is None
    assert foreign_containers([device, link("sh-1")], "abc") is None
    assert foreign_containers([link("shoal-vx"), link("sh-1")], "other") is None
    assert "2 containers of node abc" in str(foreign_containers([device, link("sh-1"), link("sh-2")], "other"))
