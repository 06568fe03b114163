"""How many managers may fail, and what an operator is told."""

import pytest

from manager.membership.tolerance import removal_leaves_majority, tolerance


@pytest.mark.parametrize(
    ("voters", "running", "failures", "warning"),
    [
        (0, 0, 0, ""),
        (1, 1, 0, ""),
        (2, 2, 0, "2 managers tolerate 0 failures"),
        (3, 3, 1, ""),
        (3, 2, 0, "1 of 3 managers is down, and 0 more failures are tolerated"),
        (4, 4, 1, "4 managers tolerate no more failures than 3"),
        (5, 5, 2, ""),
        (5, 4, 1, ""),
        (5, 3, 0, "2 of 5 managers are down"),
        (3, 1, 0, "2 of 3 managers are down"),
    ],
)
def test_failures_that_are_tolerated(voters: int, running: int, failures: int, warning: str) -> None:
    found = tolerance(voters, running)
    assert (found.voters, found.failures) == (voters, failures)
    assert found.warning.startswith(warning)
    assert bool(found.warning) == bool(warning)


@pytest.mark.parametrize(
    ("voters", "others", "allowed"),
    [(1, 0, False), (2, 1, True), (2, 0, False), (3, 2, True), (3, 1, False), (5, 3, True)],
)
def test_a_removal_leaves_a_majority(voters: int, others: int, allowed: bool) -> None:
    assert removal_leaves_majority(voters, others) is allowed
