"""Invariant 8: programs end only by faults, and have no unexpected errors. Pure."""

from collections.abc import Iterator

from tests.chaos.violation import Violation

_ETCD_ENDED = "etcd exited after"
"""In a manager's log."""

_TRACEBACK = "Traceback (most recent call last)"
_UNEXPECTED = (_TRACEBACK, "Task exception was never retrieved", "Fatal Python error", "Segmentation fault")


def check_etcd(name: str, lines: list[str], killed: int) -> Iterator[Violation]:
    """Ends of a manager's etcd beyond those that faults made.

    Args:
        killed: how often a fault has killed it.
    """
    ends = [line for line in lines if _ETCD_ENDED in line]
    if len(ends) > killed:
        yield Violation(8, f"etcd of {name} ended {len(ends)} times, killed {killed} times; last: {ends[-1].strip()}")


def check_log(name: str, lines: list[str]) -> Iterator[Violation]:
    """Errors in a program's log that it did not expect itself."""
    for number, line in enumerate(lines):
        if any(each in line for each in _UNEXPECTED):
            cause = next((each for each in lines[number + 1 :] if each and not each.startswith((" ", "\t"))), "")
            yield Violation(8, f"{name}: {line.strip()} … {cause.strip()}"[:300])
