"""Amounts in what the manager and the command line say."""

import pytest

from manager.validation.text_rules import check_duration, check_range
from shoal.unit_formats import cpus, duration, exact_size


@pytest.mark.parametrize(
    ("amount", "reported"),
    [
        (0, "0 B"),
        (1000, "1000 B"),
        (64 << 20, "64 MiB"),
        (100_000_000, "95 MiB (100000000 bytes)"),
        (1 << 60, "1024 PiB"),
    ],
)
def test_sizes_are_told_exactly(amount: int, reported: str) -> None:
    assert exact_size(amount) == reported


def test_bounds_are_told_in_units() -> None:
    (fault,) = check_range("memory", 1, 4 << 20, 1 << 40, "bytes")
    assert fault.message == "1 B is out of range; must be between 4 MiB and 1 TiB"
    (fault,) = check_duration("delay", 90_000, 60_000)
    assert fault.message == "1m30s is out of range; must be between 0s and 1m"
    (fault,) = check_range("pids", 5000, 0, 1000)
    assert fault.message == "5,000 is out of range; must be between 0 and 1,000"
    assert (cpus(1_500_000_000), duration(-5)) == ("1.5", "-5ms")
