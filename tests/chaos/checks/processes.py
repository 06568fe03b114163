"""Invariant 8: programs end only by faults, have no unexpected errors, and do not grow. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.chaos.violation import Violation

GROWTH = 0.2
FLOOR_BYTES = 24 << 20
"""Growth below this is that of caches and of the interpreter, whatever the share."""

_ETCD_ENDED = "etcd exited after"
"""In a manager's log."""

_TRACEBACK = "Traceback (most recent call last)"
_UNEXPECTED = (_TRACEBACK, "Task exception was never retrieved", "Fatal Python error", "Segmentation fault")


@dataclass(frozen=True)
class MemoryReading:
    """Of a process at a moment.

    Attributes:
        pid: so that a process that was started again is not compared with the one before.
        resident_bytes: VmRSS.
    """

    pid: int
    resident_bytes: int


def check_memory(before: Mapping[str, MemoryReading], after: Mapping[str, MemoryReading]) -> Iterator[Violation]:
    """Processes that lived through the run and have grown.

    Args:
        before, after: by the process's name, in calm.
    """
    for name, first in before.items():
        last = after.get(name)
        if last is None or last.pid != first.pid:
            continue
        grown = last.resident_bytes - first.resident_bytes
        if grown > max(GROWTH * first.resident_bytes, FLOOR_BYTES):
            what = f"{name} grew from {first.resident_bytes >> 20} to {last.resident_bytes >> 20} MiB"
            yield Violation(8, what)


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
