"""What is found of a node's network reaches the managers, whichever call finds it, and no failure ends the work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

import pytest

from agent.network.balancing.frontends import Services
from agent.network.comparison import Findings
from agent.network.condition import Condition
from agent.network.flows import Withdrawn
from agent.network.live_tables import Step
from agent.network.netlink.messages import Network
from agent.network.underlay import Underlay
from agent.network.upkeep import Upkeep
from shoal.api.v1.node_pb2 import HostListener, NetworkCondition
from shoal.errors import Unavailable

T = TypeVar("T")
HERE = IPv4Address("192.0.2.1")


@dataclass
class Tunnels:
    fault: str = ""


@dataclass
class Kernel:
    """Finds and refuses what it is told to."""

    repairs: Sequence[str] = ()
    refuses: str = ""
    flooding: Sequence[str] = ()
    findings: Findings = field(default_factory=Findings)
    tunnels: Tunnels = field(default_factory=Tunnels)
    underlay: Underlay = field(default_factory=lambda: Underlay(HERE, 2, 1500))

    def apply(self, step: Step, services: Services) -> Withdrawn:
        del step, services
        self.verify()
        return Withdrawn()

    def verify(self) -> Sequence[str]:
        self.findings.repaired(self.repairs)
        if self.refuses:
            self.findings.refuses([self.refuses])
            raise Unavailable(self.refuses)
        return self.repairs

    def host_prefixes(self) -> Sequence[Network]:
        return [IPv4Network("192.0.2.0/24")]

    def floods(self) -> Sequence[str]:
        return self.flooding


class Host:
    led = Services()

    def follow(self, services: Services) -> Services:
        return services

    async def look(self) -> bool:
        return True

    def lasting(self) -> Sequence[HostListener]:
        return []

    def problems(self) -> Iterable[str]:
        return ["80/tcp is taken"]


class Flows:
    async def lead_anew(self, withdrawn: Withdrawn) -> None:
        assert not withdrawn


async def at_once(work: Callable[[], T]) -> T:
    return work()


async def refused(work: Callable[[], T]) -> T:
    raise Unavailable("netlink is away")


async def but_for_this_host(work: Callable[[], T]) -> T:
    """What is no call of the kernel that is made up is refused."""
    return await (refused(work) if isinstance(work, partial) else at_once(work))


def upkeep(kernel: Kernel, condition: Condition, *, away: bool = False) -> Upkeep:
    in_kernel = refused if away else but_for_this_host
    return Upkeep(
        node_id="n1",
        datapath=kernel,
        host=Host(),
        flows=Flows(),
        in_kernel=in_kernel,
        condition=condition,
        obstacles=lambda: ["a chain drops"],
    )


def told(kernel: Kernel, work: Callable[[Upkeep], Awaitable[object]], *, away: bool = False) -> NetworkCondition:
    condition = Condition(now_ms=lambda: 7)

    async def scenario() -> None:
        await work(upkeep(kernel, condition, away=away))

    asyncio.run(scenario())
    return condition.current


def test_a_repair_is_told_whichever_call_makes_it() -> None:
    for work in (lambda own: own.verify(), lambda own: own.apply(Step(), Services())):
        condition = told(Kernel(repairs=["the table was missing"]), work)
        assert (condition.repaired.what, condition.repaired.count) == ("the table was missing", 1)


def test_what_is_refused_is_a_problem_and_what_was_set_right_before_is_told_too() -> None:
    condition = Condition(now_ms=lambda: 7)
    kernel = Kernel(repairs=["a link was missing"], refuses="nftables refused: no")
    own = upkeep(kernel, condition)
    for work in (own.verify, lambda: own.apply(Step(), Services())):
        with pytest.raises(Unavailable):
            asyncio.run(work())
    assert condition.current.repaired.count == 2
    assert list(condition.current.problems) == ["nftables refused: no", "80/tcp is taken"]


def test_encryption_that_does_not_work_is_a_problem() -> None:
    condition = told(Kernel(tunnels=Tunnels("encrypted networks do not work on this node")), lambda own: own.verify())
    assert "encrypted networks do not work on this node" in condition.problems


def test_a_kernel_that_does_not_answer_ends_no_look() -> None:
    condition = told(Kernel(), lambda own: own.look_around(), away=True)
    assert list(condition.problems) == ["80/tcp is taken", "a chain drops"]


def test_a_look_tells_what_the_host_routes() -> None:
    assert list(told(Kernel(), lambda own: own.look_around()).host_prefixes) == ["192.0.2.0/24"]


def test_a_container_that_asks_too_much_is_a_problem_of_the_node() -> None:
    flooding = "task 7 asks for names faster than one container is answered"
    assert flooding in told(Kernel(flooding=[flooding]), lambda own: own.look_around()).problems
