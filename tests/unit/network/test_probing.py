"""Paths measured with echoes that a function makes up."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.ip_types import Address
from agent.network.probing.network_prober import largest_passing, measure, path_fault
from agent.network.probing.path_monitor import (
    FIRST_CHECK_SECONDS,
    MAX_CONCURRENT,
    MAX_FAULTS,
    PERIOD_SECONDS,
    RECHECK_SECONDS,
    PathMonitor,
    PathSchedule,
)
from shoal.api.v1.node_pb2 import PathFault
from tests.fakes.virtual_time import run_virtual


class Path:
    """Lets packets up to its MTU through, but for every `loses`th."""

    def __init__(self, mtu: int, loses: int = 0) -> None:
        self.mtu, self.loses = mtu, loses
        self.asked = 0

    async def ask(self, size: int, seconds: float) -> float | None:
        del seconds
        self.asked += 1
        lost = self.loses and self.asked % self.loses == 0
        return None if lost or size > self.mtu else 0.001


@given(st.integers(68, 9000), st.integers(69, 9000))
def test_the_largest_packet_that_passes_is_found(mtu: int, expected: int) -> None:
    assert asyncio.run(largest_passing(Path(mtu).ask, expected)) == min(mtu, expected)


def test_a_path_as_it_should_be_costs_one_large_packet() -> None:
    path = Path(1500)
    assert asyncio.run(largest_passing(path.ask, 1500)) == 1500
    assert path.asked == 1


@pytest.mark.parametrize(("mtu", "heard", "found"), [(1500, 4, 1450), (1400, 4, 1400), (0, 0, 0)])
def test_a_measurement(mtu: int, heard: int, found: int) -> None:
    report = asyncio.run(measure(Path(mtu).ask, probes=4, expected=1450))
    assert (report.sent, len(report.rtts_us), report.mtu, report.expected_mtu) == (4, heard, found, 1450)


def test_loss_is_counted_and_does_not_spoil_the_mtu() -> None:
    report = asyncio.run(measure(Path(1450, loses=2).ask, probes=6, expected=1450))
    assert (len(report.rtts_us), report.mtu) == (3, 1450)


OVERLAY, UNDERLAY = 1450, 1500


@pytest.mark.parametrize(
    ("tunnel", "underlay", "found"),
    [
        (OVERLAY, UNDERLAY, None),
        (1350, 1400, PathFault(tunnel=True, mtu=1350, expected_mtu=OVERLAY)),
        (OVERLAY, 1400, PathFault(tunnel=False, mtu=1400, expected_mtu=UNDERLAY)),
        (0, UNDERLAY, PathFault(tunnel=True, mtu=0, expected_mtu=OVERLAY)),
        (0, 0, None),  # the node is away
        (OVERLAY, 0, None),  # it does not answer pings
    ],
)
def test_what_is_wrong_with_a_path(tunnel: int, underlay: int, found: PathFault | None) -> None:
    ways = Path(underlay), Path(tunnel)
    fault = asyncio.run(path_fault(*(way.ask for way in ways), underlay_mtu=UNDERLAY, overlay_mtu=OVERLAY))
    assert fault == found
    if (tunnel, underlay) == (OVERLAY, UNDERLAY):
        assert [way.asked for way in ways] == [1, 1]


ONE, TWO = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
PEERS: dict[Address, str] = {ONE: "02:56:00:00:00:01", TWO: "02:56:00:00:00:02"}


def test_a_path_is_told_when_it_is_bad_twice_running_and_until_it_is_good() -> None:
    book = PathSchedule()
    book.set_peers(PEERS, 0.0)
    assert book.due(FIRST_CHECK_SECONDS - 1) == []
    assert book.due(FIRST_CHECK_SECONDS) == list(PEERS.items())
    bad = PathFault(address=str(ONE), mtu=1400)
    now = FIRST_CHECK_SECONDS
    book.record(TWO, None, now)
    book.record(ONE, bad, now)
    assert (book.faults(), book.due(now)) == ([], [])
    now += RECHECK_SECONDS
    assert [address for address, _ in book.due(now)] == [ONE]
    book.record(ONE, bad, now)
    assert book.faults() == [bad]
    now += RECHECK_SECONDS
    book.record(ONE, None, now)
    assert book.faults() == []
    assert book.due(now + PERIOD_SECONDS - RECHECK_SECONDS) == [(TWO, PEERS[TWO])]


def test_paths_to_nodes_that_are_gone_are_forgotten_and_few_are_asked_at_once() -> None:
    book = PathSchedule()
    many: dict[Address, str] = {ONE + number: "02:56:00:00:00:01" for number in range(100)}
    book.set_peers(many, 0.0)
    assert len(book.due(60.0)) == MAX_CONCURRENT
    for address in many:
        book.record(address, PathFault(address=str(address)), 60.0)
        book.record(address, PathFault(address=str(address)), 90.0)
    assert len(book.faults()) == MAX_FAULTS
    book.set_peers({TWO: PEERS[TWO]}, 100.0)
    book.record(ONE, PathFault(), 100.0)
    assert [fault.address for fault in book.faults()] == [str(TWO)]


def test_the_watch_tells_what_it_finds_until_the_path_is_good() -> None:
    reported: list[list[str]] = []
    bad = True

    async def peers() -> dict[Address, str]:
        return PEERS

    async def look(address: Address, mac: str) -> PathFault | None:
        assert mac == PEERS[address]
        return PathFault(address=str(address), mtu=1400) if bad and address == TWO else None

    def note(faults: Sequence[PathFault]) -> None:
        if not reported or reported[-1] != [fault.address for fault in faults]:
            reported.append([fault.address for fault in faults])

    async def scenario() -> None:
        nonlocal bad
        watch = asyncio.create_task(PathMonitor(peers=peers, check=look, report=note).run())
        await asyncio.sleep(FIRST_CHECK_SECONDS + 2 * RECHECK_SECONDS)
        bad = False
        await asyncio.sleep(2 * RECHECK_SECONDS)
        watch.cancel()

    run_virtual(scenario())
    assert reported == [[], [str(TWO)], []]
