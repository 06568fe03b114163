"""What is done again and again for the node's network: comparing it with what it should be, and looking around."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from agent.network import ownership
from agent.network.balancing.frontends import Services
from agent.network.comparison import Findings
from agent.network.condition import Condition
from agent.network.flows import Withdrawn
from agent.network.live_tables import Step
from agent.network.netlink.messages import Network
from agent.network.obstacles import loosen
from agent.network.underlay import Underlay
from shoal.api.v1.node_pb2 import HostListener
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

PORTS_SECONDS = 3.0
"""Between two looks at who listens; a look costs about half a millisecond."""

T = TypeVar("T")


class InThread(Protocol):
    """Runs a function in the thread that owns the datapath."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Encryption(Protocol):
    """The part of the encrypted tunnels that is needed here."""

    @property
    def fault(self) -> str: ...


class Kernel(Protocol):
    """The part of the datapath that is needed here. Calls block."""

    findings: Findings

    @property
    def underlay(self) -> Underlay: ...
    @property
    def tunnels(self) -> Encryption: ...
    def apply(self, step: Step, services: Services) -> Withdrawn: ...
    def verify(self) -> Sequence[str]: ...
    def host_prefixes(self) -> Sequence[Network]: ...
    def floods(self) -> Sequence[str]: ...


class Host(Protocol):
    """The part of the host's ports that is needed here."""

    led: Services

    def follow(self, services: Services) -> Services: ...
    async def look(self) -> bool: ...
    def lasting(self) -> Sequence[HostListener]: ...
    def problems(self) -> Iterable[str]: ...


class Flowing(Protocol):
    """The part of the flows of datagrams that is needed here."""

    async def lead_anew(self, withdrawn: Withdrawn) -> None: ...


class Upkeep:
    """One node's.

    Args:
        datapath: all calls of it, but for properties, are made by `in_kernel`.
        host: ports of the host.
        flows: of datagrams that are under way.
        in_kernel: runs a function in the datapath's thread.
        condition: takes what is found.
        obstacles: what of other programs stands in the way, in a line each; blocks, in any thread, for as long as their
            rules are many. Raises Unavailable.
        compared: called after each comparison.
    """

    def __init__(
        self,
        *,
        node_id: str,
        datapath: Kernel,
        host: Host,
        flows: Flowing,
        in_kernel: InThread,
        condition: Condition,
        obstacles: Callable[[], Sequence[str]],
        compared: Callable[[], None] = lambda: None,
    ) -> None:
        self._node_id = node_id
        self._datapath = datapath
        self._host = host
        self._flows = flows
        self._in_kernel = in_kernel
        self._condition = condition
        self._compared = compared
        self._look_for_obstacles = obstacles
        self._obstacles: Sequence[str] = ()
        self._floods: Sequence[str] = ()
        self._prefixes: list[str] = []

    async def apply(self, step: Step, services: Services) -> None:
        """Bring the kernel a step on, and to these services, but for ports of the mesh that other programs have.

        Raises:
            Unavailable: the kernel refused some; the next call, or the next comparison, tries again.
        """
        led = self._host.follow(services)
        await self._apply(step, led)
        await self._in_kernel(loosen)

    async def _apply(self, step: Step, led: Services) -> None:
        try:
            withdrawn = await self._in_kernel(lambda: self._datapath.apply(step, led))
        finally:
            self._tell()
        await self._flows.lead_anew(withdrawn)

    async def run(self, period_seconds: float) -> None:
        """Compare and look, without end."""
        while True:
            await asyncio.sleep(period_seconds)
            try:
                await self.verify()
            except Unavailable as error:
                log.error("The node's network could not be set right, and is tried again: %s", error)
            await self.look_around()

    async def verify(self) -> Sequence[str]:
        """Compare the kernel with what it should hold and repair it; what was wrong, in a line each."""
        try:
            wrong = await self._in_kernel(self._datapath.verify)
        finally:
            self._compared()
            self._tell()
        if await self._in_kernel(loosen):
            log.info("The host checks every sender's way back (net.ipv4.conf.all.rp_filter is 1): our device does not")
        return wrong

    async def watch_ports(self) -> None:
        """See who listens on this host, without end: who publishes a port learns soon that it is taken, or free."""
        while True:
            await asyncio.sleep(PORTS_SECONDS)
            await self._look_at_ports()

    async def look_around(self) -> None:
        """What others do on this host: who listens, what is routed, what stands in the way of containers' traffic."""
        try:
            await self._in_kernel(partial(ownership.sign, self._node_id))
        except Unavailable as error:
            log.warning("It is not written on our device whose it is: %s", error)
        try:
            self._obstacles = await asyncio.to_thread(self._look_for_obstacles)
            self._prefixes = list(map(str, await self._in_kernel(self._datapath.host_prefixes)))
        except Unavailable as error:
            log.warning("It is not known which rules of others drop traffic, or what the host routes: %s", error)
        try:
            self._floods = await self._in_kernel(self._datapath.floods)
        except Unavailable as error:
            log.warning("It is not known whether a container asks for too many names: %s", error)
        await self._look_at_ports()

    async def _look_at_ports(self) -> None:
        try:
            if await self._host.look():
                await self._apply(Step(), self._host.led)
        except Unavailable as error:
            log.warning("It is not known which ports of this host are taken, or they cannot be led anew: %s", error)
        self._tell()

    def _tell(self) -> None:
        """Repairs, whoever made them, and how it is now."""
        if wrong := self._datapath.findings.take_repaired():
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            log.warning("The node's network was not as we left it, and is set right: %s%s", wrong[0], more)
            self._condition.note_repair(wrong)
        fault = filter(None, [self._datapath.tunnels.fault])
        problems = [
            *self._datapath.findings.refusals(),
            *fault,
            *self._host.problems(),
            *self._obstacles,
            *self._floods,
        ]
        for problem in set(problems) - set(self._condition.current.problems):
            log.warning("%s", problem)
        mtu = self._datapath.underlay.mtu
        self._condition.note(
            problems=problems, listeners=self._host.lasting(), underlay_mtu=mtu, host_prefixes=self._prefixes
        )
