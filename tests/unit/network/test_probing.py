"""Paths measured with echoes that a function makes up."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.probing import largest, measure


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
    assert asyncio.run(largest(Path(mtu).ask, expected)) == min(mtu, expected)


def test_a_path_as_it_should_be_costs_one_large_packet() -> None:
    path = Path(1500)
    assert asyncio.run(largest(path.ask, 1500)) == 1500
    assert path.asked == 1


@pytest.mark.parametrize(("mtu", "heard", "found"), [(1500, 4, 1450), (1400, 4, 1400), (0, 0, 0)])
def test_a_measurement(mtu: int, heard: int, found: int) -> None:
    report = asyncio.run(measure(Path(mtu).ask, probes=4, expected=1450))
    assert (report.sent, len(report.answers_us), report.mtu, report.expected_mtu) == (4, heard, found, 1450)


def test_loss_is_counted_and_does_not_spoil_the_mtu() -> None:
    report = asyncio.run(measure(Path(1450, loses=2).ask, probes=6, expected=1450))
    assert (len(report.answers_us), report.mtu) == (3, 1450)
