"""Reads processes from /proc, any of which, and any thread, may end meanwhile. proc(5)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

_PROC = Path("/proc")
_GONE = (FileNotFoundError, ProcessLookupError)


def children(pid: int | str, proc: Path = _PROC) -> Iterator[int]:
    """Children of all threads of a process (or "self"); none if it has exited."""
    try:
        threads = list((proc / str(pid) / "task").iterdir())
    except _GONE:
        return
    for thread in threads:
        try:
            found = (thread / "children").read_text()
        except _GONE:
            continue  # other threads may still have children
        yield from map(int, found.split())


def descendants(pid: int, proc: Path = _PROC) -> Iterator[int]:
    """All descendants of a process."""
    waiting = [pid]
    while waiting:
        found = list(children(waiting.pop(), proc))
        yield from found
        waiting.extend(found)


def status(pid: int | str, proc: Path = _PROC) -> Mapping[str, str]:
    """Fields of /proc/<pid>/status; empty when there is no such process. A name may hold any bytes."""
    try:
        lines = (proc / str(pid) / "status").read_text(errors="replace").split("\n")
    except _GONE:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def mount_table(proc: Path = _PROC) -> str:
    """/proc/self/mountinfo of this process; paths in it may hold any bytes."""
    return (proc / "self" / "mountinfo").read_text(errors="surrogateescape")
