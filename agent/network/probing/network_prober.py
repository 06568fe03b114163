"""Measures reachability of other nodes on a manager's request: loss, round-trip time, MTU, published ports."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from agent.network.host.underlay import Underlay
from agent.network.ip_types import Address
from agent.network.probing.echo_probes import MIN_PROBE_BYTES, IcmpPinger, TunnelPinger
from agent.network.probing.port_probes import port_fault
from shoal.api.v1.node_pb2 import PathFault
from shoal.api.v1.streams_pb2 import (
    NodeReachability,
    PathMeasurement,
    ProbedNode,
    ProbedPort,
    ProbeRequest,
    ProbeResponse,
)
from shoal.errors import Fault, InvalidInput
from shoal.task_group import TaskGroup

MAX_TARGETS = 1_000
MAX_PROBES = 100
DEFAULT_PROBES = 10
_MAX_CONCURRENT = 64
_SPACING_SECONDS = 0.02
_TIMEOUT_SECONDS = 1.0
_MTU_TIMEOUT_SECONDS = 0.25

Ping = Callable[[int, float], Awaitable[float | None]]
"""Takes a packet's size in bytes and a timeout in seconds; returns the seconds until its echo, None without one."""


class NetworkProber:
    """Probes other nodes, and replies to their probes. Create and close it in the event loop.

    Args:
        underlay: returns this node's current underlay.
        has_tunnel: whether the overlay has a tunnel to the node with an underlay address.
    """

    def __init__(self, *, underlay: Callable[[], Underlay], has_tunnel: Callable[[Address], bool]) -> None:
        self._underlay = underlay
        self._has_tunnel = has_tunnel
        self._icmp = IcmpPinger(underlay().address)
        try:
            self._tunnel = TunnelPinger(underlay().vtep_mac)
        except BaseException:
            self._icmp.close()
            raise

    def close(self) -> None:
        self._icmp.close()
        self._tunnel.close()

    async def probe(self, request: ProbeRequest) -> ProbeResponse:
        """Measure. Nodes and ports are probed concurrently, a limited number at a time.

        Raises:
            InvalidInput: too many targets, or an invalid address.
        """
        _validate(request)
        limit = asyncio.Semaphore(_MAX_CONCURRENT)
        probes = request.count or DEFAULT_PROBES

        async def node(target: ProbedNode) -> NodeReachability:
            async with limit:
                return await self._probe_node(target, probes)

        async def port(target: ProbedPort) -> str | None:
            async with limit:
                return await port_fault(target.address, target.port, target.protocol)

        async with TaskGroup() as group:
            nodes = [group.create_task(node(target)) for target in request.nodes]
            ports = [group.create_task(port(target)) for target in request.ports]
        faults = [task.result() for task in ports]
        return ProbeResponse(
            nodes=[task.result() for task in nodes],
            port_errors=[fault or "" for fault in faults],
            inconclusive_ports=[place for place, fault in enumerate(faults) if fault is None],
        )

    async def _probe_node(self, target: ProbedNode, probes: int) -> NodeReachability:
        address = ip_address(target.address)
        found = NodeReachability(node_id=target.node_id)
        own = self._underlay()
        found.underlay.CopyFrom(await measure(self._underlay_ping(address), probes=probes, expected=own.mtu))
        if target.vtep_mac and self._has_tunnel(address):
            tunnel = self._tunnel_ping(target.vtep_mac)
            found.overlay.CopyFrom(await measure(tunnel, probes=probes, expected=own.overlay_mtu))
        return found

    def _underlay_ping(self, address: Address) -> Ping:
        return lambda size, seconds: self._icmp.ping(address, size, seconds)

    def _tunnel_ping(self, mac: str) -> Ping:
        return lambda size, seconds: self._tunnel.ping(mac, size, seconds)

    async def check_path(self, address: Address, mac: str) -> PathFault | None:
        """The fault of the path to a node that the overlay has a tunnel to, by as few packets as possible.

        None also for a node that does not answer at all: the managers notice that themselves.
        """
        own = self._underlay()
        fault = await path_fault(
            self._underlay_ping(address), self._tunnel_ping(mac), underlay_mtu=own.mtu, overlay_mtu=own.overlay_mtu
        )
        if fault is not None:
            fault.address = str(address)
        return fault


async def path_fault(underlay: Ping, tunnel: Ping, *, underlay_mtu: int, overlay_mtu: int) -> PathFault | None:
    """The worse fault of the two paths to a node, None where both are healthy.

    Args:
        underlay_mtu, overlay_mtu: expected MTUs, bytes.
    """
    if not await _passes(tunnel, overlay_mtu):
        if await _passes(tunnel, MIN_PROBE_BYTES):
            passing = await largest_passing(tunnel, overlay_mtu)
            # Otherwise packets were lost, whatever their size.
            return _fault(passing, overlay_mtu, tunnel=True) if passing < overlay_mtu else None
        return _fault(0, overlay_mtu, tunnel=True) if await _passes(underlay, MIN_PROBE_BYTES) else None
    if await _passes(underlay, underlay_mtu) or not await _passes(underlay, MIN_PROBE_BYTES):
        return None
    passing = await largest_passing(underlay, underlay_mtu)
    return _fault(passing, underlay_mtu, tunnel=False) if passing < underlay_mtu else None


def _fault(mtu: int, expected: int, *, tunnel: bool) -> PathFault:
    return PathFault(tunnel=tunnel, mtu=mtu, expected_mtu=expected)


async def measure(ping: Ping, *, probes: int, expected: int) -> PathMeasurement:
    """Small packets for loss and round-trip time, then the largest packet that passes.

    Args:
        expected: MTU that the path should have, bytes.
    """

    async def one(number: int) -> float | None:
        await asyncio.sleep(number * _SPACING_SECONDS)
        return await ping(MIN_PROBE_BYTES, _TIMEOUT_SECONDS)

    replies = await asyncio.gather(*map(one, range(probes)))
    rtts_us = [round(seconds * 1e6) for seconds in replies if seconds is not None]
    mtu = await largest_passing(ping, expected) if rtts_us else 0
    return PathMeasurement(sent=probes, rtts_us=rtts_us, mtu=mtu, expected_mtu=expected)


async def largest_passing(ping: Ping, expected: int) -> int:
    """The largest packet that gets an echo, at most `expected` bytes: a single probe where the path is healthy."""
    if await _passes(ping, expected):
        return expected
    low, high = MIN_PROBE_BYTES, expected
    while high - low > 1:
        middle = (low + high) // 2
        if await _passes(ping, middle):
            low = middle
        else:
            high = middle
    return low


async def _passes(ping: Ping, size: int) -> bool:
    """Whether one of three packets gets an echo, since a single one may be lost."""
    for _ in range(3):
        if await ping(size, _MTU_TIMEOUT_SECONDS) is not None:
            return True
    return False


def _validate(request: ProbeRequest) -> None:
    faults = []
    if len(request.nodes) > MAX_TARGETS or len(request.ports) > MAX_TARGETS:
        faults.append(Fault("", f"too many targets; the maximum is {MAX_TARGETS} nodes and {MAX_TARGETS} ports"))
    if request.count > MAX_PROBES:
        faults.append(Fault("count", f"{request.count} is too large; the maximum is {MAX_PROBES}"))
    for index, target in enumerate(request.nodes):
        try:
            ip_address(target.address)
        except ValueError:
            faults.append(Fault(f"nodes[{index}].address", f"'{target.address[:80]}' is not an IP address"))
    if faults:
        raise InvalidInput(faults)
