"""Reads processes from /proc, any of which, and any thread, may end meanwhile. proc(5)."""

import os
import select
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


def process_start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - twice for each start
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(text.rpartition(b")")[2].split()[19])


def open_pidfd(pid: int, started: int) -> int | None:
    """A pidfd of exactly this process; None if it was reaped, or if the number now belongs to another process."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if process_start_time(pid) == started:
        return pidfd
    os.close(pidfd)
    return None


def wait_pidfd(pidfd: int, seconds: float) -> bool:
    """Wait for the exit of a pidfd's process with a timeout; whether it has exited."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def reap(pidfd: int) -> int | None:
    """Exit code of an exited child process, 128 + the signal's number; None if it is not a child of this process."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
