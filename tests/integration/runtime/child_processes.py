"""Processes that this one has started, by any of its threads: the kernel lists each with the thread that made it."""

from contextlib import suppress
from pathlib import Path


def children(program: str = "") -> set[str]:
    """Their process IDs; `program` is the name (comm) of those to list, empty: all of them."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):
            found |= set((thread / "children").read_text().split())
    return {pid for pid in found if not program or _name(pid) == program}


def executables() -> set[str]:
    """The files that they run."""
    found = set()
    for pid in children():
        with suppress(FileNotFoundError):
            found.add(str(Path(f"/proc/{pid}/exe").readlink()))
    return found


def _name(pid: str) -> str:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
