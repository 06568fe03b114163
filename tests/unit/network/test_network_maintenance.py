"""What is found of a node's network reaches the managers, whichever call finds it, and no failure ends the work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

import pytest

from agent.network.balancing.stale_flows import WithdrawnBackends
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.service_map import Frontend, ServiceMap
from agent.network.condition_reporter import ConditionReporter
from agent.network.datapath.comparison import Findings
from agent.network.host.underlay import Underlay
from agent.network.ip_types import Network
from agent.network.network_maintenance import NetworkMaintenance
from shoal.api.v1.node_pb2 import HostListener, NetworkCondition
from shoal.errors import Unavailable

T = TypeVar("T")
HERE = IPv4Address("192.0.2.1")


@dataclass
class Tunnels:
    fault: str = ""


@dataclass
class FakeDatapath:
    """Finds and refuses what it is told to."""

    repairs: Sequence[str] = ()
    refuses: str = ""
    flooding: Sequence[str] = ()
    findings: Findings = field(default_factory=Findings)
    tunnels: Tunnels = field(default_factory=Tunnels)
    underlay: Underlay = field(default_factory=lambda: Underlay(HERE, 2, 1500))

    def apply(self, diff: DerivedDiff, excluded: frozenset[Frontend]) -> WithdrawnBackends:
        del diff, excluded
        self.reconcile()
        return WithdrawnBackends()

    def reconcile(self) -> Sequence[str]:
        self.findings.add_repairs(self.repairs)
        if self.refuses:
            self.findings.set_refusals([self.refuses])
            raise Unavailable(self.refuses)
        return self.repairs

    def host_prefixes(self) -> Sequence[Network]:
        return [IPv4Network("192.0.2.0/24")]

    def query_floods(self) -> Sequence[str]:
        return self.flooding


class FakeHostPorts:
    excluded: frozenset[Frontend] = frozenset()

    def apply(self, diff: Diff[ServiceMap]) -> frozenset[Frontend]:
        del diff
        return self.excluded

    async def scan(self) -> bool:
        return True

    def fixed_listeners(self) -> Sequence[HostListener]:
        return []

    def problems(self) -> Iterable[str]:
        return ["80/tcp is taken"]


class FakeStaleFlows:
    async def delete_stale(self, withdrawn: WithdrawnBackends) -> None:
        assert not withdrawn


async def at_once(work: Callable[[], T]) -> T:
    return work()


async def refused(work: Callable[[], T]) -> T:
    raise Unavailable("netlink is away")


async def but_for_this_host(work: Callable[[], T]) -> T:
    """What is no call of the kernel that is made up is refused."""
    return await (refused(work) if isinstance(work, partial) else at_once(work))


def maintenance(kernel: FakeDatapath, condition: ConditionReporter, *, away: bool = False) -> NetworkMaintenance:
    in_kernel = refused if away else but_for_this_host
    return NetworkMaintenance(
        node_id="n1",
        datapath=kernel,
        host=FakeHostPorts(),
        flows=FakeStaleFlows(),
        in_kernel=in_kernel,
        condition=condition,
        find_blocked=lambda: ["a chain drops"],
    )


def reported(
    kernel: FakeDatapath, work: Callable[[NetworkMaintenance], Awaitable[object]], *, away: bool = False
) -> NetworkCondition:
    condition = ConditionReporter(now_ms=lambda: 7)

    async def scenario() -> None:
        await work(maintenance(kernel, condition, away=away))

    asyncio.run(scenario())
    return condition.current


def test_a_repair_is_told_whichever_call_makes_it() -> None:
    for work in (lambda own: own.reconcile(), lambda own: own.apply(DerivedDiff())):
        condition = reported(FakeDatapath(repairs=["the table was missing"]), work)
        assert (condition.repaired.description, condition.repaired.count) == ("the table was missing", 1)


def test_what_is_refused_is_a_problem_and_what_was_set_right_before_is_told_too() -> None:
    condition = ConditionReporter(now_ms=lambda: 7)
    kernel = FakeDatapath(repairs=["a link was missing"], refuses="nftables refused: no")
    own = maintenance(kernel, condition)
    for work in (own.reconcile, lambda: own.apply(DerivedDiff())):
        with pytest.raises(Unavailable):
            asyncio.run(work())
    assert condition.current.repaired.count == 2
    assert list(condition.current.problems) == ["nftables refused: no", "80/tcp is taken"]


def test_encryption_that_does_not_work_is_a_problem() -> None:
    condition = reported(
        FakeDatapath(tunnels=Tunnels("encrypted networks are not available on this node")), lambda own: own.reconcile()
    )
    assert "encrypted networks are not available on this node" in condition.problems


def test_a_kernel_that_does_not_answer_ends_no_look() -> None:
    condition = reported(FakeDatapath(), lambda own: own.inspect_host(), away=True)
    assert list(condition.problems) == ["80/tcp is taken", "a chain drops"]


def test_a_look_tells_what_the_host_routes() -> None:
    assert list(reported(FakeDatapath(), lambda own: own.inspect_host()).host_prefixes) == ["192.0.2.0/24"]


def test_a_container_that_asks_too_much_is_a_problem_of_the_node() -> None:
    flooding = "task 7 exceeds the DNS query limit"
    assert flooding in reported(FakeDatapath(flooding=[flooding]), lambda own: own.inspect_host()).problems
