"""Debian's Chromium, and what it costs: all of its processes, as /proc counts them."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, async_playwright

CHROMIUM = "/usr/bin/chromium"
TIMEOUT_MS = 60_000
"""For whatever a test waits for on a page: a machine with other work is slow."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Chromium:
    """A browser that runs.

    Attributes:
        roots: process ids that all of its processes descend from.
    """

    browser: Browser
    roots: frozenset[int]

    def processor_seconds(self) -> float:
        """That its processes of now have used."""
        return sum(_processor_seconds(each) for each in self._processes())

    def memory_mib(self, *, of_pages: bool = False) -> float:
        """PSS: what processes share is counted once.

        Args:
            of_pages: of the processes that run pages alone, of which there is one for each.
        """
        found = [each for each in self._processes() if not of_pages or "--type=renderer" in _command_line(each)]
        return sum(_pss_kib(each) for each in found) / 1024

    def _processes(self) -> set[int]:
        return descendants(self.roots) | self.roots


@asynccontextmanager
async def chromium() -> AsyncGenerator[Chromium]:
    """A browser without pages."""
    before = descendants({os.getpid()})
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        started = descendants({os.getpid()}) - before
        roots = frozenset(each for each in started if Path(f"/proc/{each}/exe").resolve().name.startswith("chromium"))
        yield Chromium(browser, roots)
        await browser.close()


def descendants(roots: "frozenset[int] | set[int]") -> set[int]:
    """Processes that these have started, and those again."""
    parents = {pid: parent for pid in _all_processes() if (parent := _parent(pid)) is not None}
    found: set[int] = set()
    while new := {pid for pid, parent in parents.items() if parent in found | set(roots)} - found:
        found |= new
    return found


def _all_processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may have blanks (proc_pid_stat(5)); none: it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int | None:
    return int(found[1]) if (found := _stat(pid)) else None


def _processor_seconds(pid: int) -> float:
    return (int(found[11]) + int(found[12])) / _TICKS if (found := _stat(pid)) else 0.0


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _pss_kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])
