"""How this node reaches others, measured when a manager asks: loss, time and MTU of each path, and published ports."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from agent.network.echoes import SMALLEST_BYTES, IcmpEchoes, TunnelEchoes
from agent.network.netlink.messages import Address
from agent.network.port_probes import port_fault
from agent.network.underlay import Underlay
from shoal.api.v1.node_pb2 import PathFault
from shoal.api.v1.streams_pb2 import NodeReach, Path, ProbedNode, ProbedPort, ProbeRequest, ProbeResponse
from shoal.errors import Fault, InvalidInput
from shoal.task_group import TaskGroup

MOST_TARGETS = 1_000
MOST_PROBES = 100
USUAL_PROBES = 10
_AT_ONCE = 64
_SPACING_SECONDS = 0.02
_PATIENCE_SECONDS = 1.0
_SIZE_PATIENCE_SECONDS = 0.25

Ask = Callable[[int, float], Awaitable[float | None]]
"""Takes a packet's bytes and how long to wait, seconds; returns the seconds until its echo, None without one."""


class Probing:
    """Asks other nodes, and lets them ask this one. Make and close it in the event loop.

    Args:
        underlay: this node's place on it, as it is now.
        has_tunnel: whether the overlay leads to the node of an underlay address.
    """

    def __init__(self, *, underlay: Callable[[], Underlay], has_tunnel: Callable[[Address], bool]) -> None:
        self._underlay = underlay
        self._has_tunnel = has_tunnel
        self._icmp = IcmpEchoes(underlay().address)
        try:
            self._tunnel = TunnelEchoes(underlay().vtep_mac)
        except BaseException:
            self._icmp.close()
            raise

    def close(self) -> None:
        self._icmp.close()
        self._tunnel.close()

    async def probe(self, request: ProbeRequest) -> ProbeResponse:
        """Measure. Nodes and ports are probed side by side, a bounded number at once.

        Raises:
            InvalidInput: too many targets, or one is no address.
        """
        _check(request)
        room = asyncio.Semaphore(_AT_ONCE)
        probes = request.count or USUAL_PROBES

        async def node(target: ProbedNode) -> NodeReach:
            async with room:
                return await self._node(target, probes)

        async def port(target: ProbedPort) -> str | None:
            async with room:
                return await port_fault(target.address, target.port, target.protocol)

        async with TaskGroup() as group:
            nodes = [group.create_task(node(target)) for target in request.nodes]
            ports = [group.create_task(port(target)) for target in request.ports]
        faults = [task.result() for task in ports]
        return ProbeResponse(
            nodes=[task.result() for task in nodes],
            ports=[fault or "" for fault in faults],
            untold=[place for place, fault in enumerate(faults) if fault is None],
        )

    async def _node(self, target: ProbedNode, probes: int) -> NodeReach:
        address = ip_address(target.address)
        reach = NodeReach(node_id=target.node_id)
        own = self._underlay()
        reach.underlay.CopyFrom(await measure(self._by_underlay(address), probes=probes, expected=own.mtu))
        if target.vtep_mac and self._has_tunnel(address):
            tunnel = self._by_tunnel(target.vtep_mac)
            reach.overlay.CopyFrom(await measure(tunnel, probes=probes, expected=own.overlay_mtu))
        return reach

    def _by_underlay(self, address: Address) -> Ask:
        return lambda size, seconds: self._icmp.ask(address, size, seconds)

    def _by_tunnel(self, mac: str) -> Ask:
        return lambda size, seconds: self._tunnel.ask(mac, size, seconds)

    async def look(self, address: Address, mac: str) -> PathFault | None:
        """What is wrong with the path to a node that the overlay leads to, by as few packets as may be.

        None too for a node that does not answer at all: others tell of that.
        """
        own = self._underlay()
        fault = await path_fault(
            self._by_underlay(address), self._by_tunnel(mac), underlay_mtu=own.mtu, overlay_mtu=own.overlay_mtu
        )
        if fault is not None:
            fault.address = str(address)
        return fault


async def path_fault(underlay: Ask, tunnel: Ask, *, underlay_mtu: int, overlay_mtu: int) -> PathFault | None:
    """The worse of what two ways to a node let through, None where both are as they should be.

    Args:
        underlay_mtu, overlay_mtu: what should pass, bytes.
    """
    if not await _passes(tunnel, overlay_mtu):
        if await _passes(tunnel, SMALLEST_BYTES):
            passing = await largest(tunnel, overlay_mtu)
            # Else it was lost packets, not their size.
            return _fault(passing, overlay_mtu, tunnel=True) if passing < overlay_mtu else None
        return _fault(0, overlay_mtu, tunnel=True) if await _passes(underlay, SMALLEST_BYTES) else None
    if await _passes(underlay, underlay_mtu) or not await _passes(underlay, SMALLEST_BYTES):
        return None
    passing = await largest(underlay, underlay_mtu)
    return _fault(passing, underlay_mtu, tunnel=False) if passing < underlay_mtu else None


def _fault(mtu: int, expected: int, *, tunnel: bool) -> PathFault:
    return PathFault(tunnel=tunnel, mtu=mtu, expected_mtu=expected)


async def measure(ask: Ask, *, probes: int, expected: int) -> Path:
    """Small packets for loss and time, then the largest that passes.

    Args:
        expected: MTU that the path should have, bytes.
    """

    async def one(number: int) -> float | None:
        await asyncio.sleep(number * _SPACING_SECONDS)
        return await ask(SMALLEST_BYTES, _PATIENCE_SECONDS)

    answers = await asyncio.gather(*map(one, range(probes)))
    heard = [round(seconds * 1e6) for seconds in answers if seconds is not None]
    mtu = await largest(ask, expected) if heard else 0
    return Path(sent=probes, answers_us=heard, mtu=mtu, expected_mtu=expected)


async def largest(ask: Ask, expected: int) -> int:
    """The largest packet that gets an echo, at most `expected` bytes: at once where the path is as it should be."""
    if await _passes(ask, expected):
        return expected
    low, high = SMALLEST_BYTES, expected
    while high - low > 1:
        middle = (low + high) // 2
        if await _passes(ask, middle):
            low = middle
        else:
            high = middle
    return low


async def _passes(ask: Ask, size: int) -> bool:
    """Three times, since a single packet may be lost."""
    for _ in range(3):
        if await ask(size, _SIZE_PATIENCE_SECONDS) is not None:
            return True
    return False


def _check(request: ProbeRequest) -> None:
    faults = []
    if len(request.nodes) > MOST_TARGETS or len(request.ports) > MOST_TARGETS:
        faults.append(Fault("", f"at most {MOST_TARGETS} nodes and ports can be probed at once"))
    if request.count > MOST_PROBES:
        faults.append(Fault("count", f"{request.count} is out of range; at most {MOST_PROBES} are allowed"))
    for index, target in enumerate(request.nodes):
        try:
            ip_address(target.address)
        except ValueError:
            faults.append(Fault(f"nodes[{index}].address", f"'{target.address[:80]}' is no address"))
    if faults:
        raise InvalidInput(faults)
