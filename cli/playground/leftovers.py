"""Find what a playground left on the machine: processes, mounts, links, namespaces, directories."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cli.playground import virtual_network
from cli.playground.layout import Layout, PlaygroundHost

_MAX_LISTED = 5
_MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def agent_processes(host: PlaygroundHost) -> list[int]:
    """Process ids of every agent of a host: in its namespace, or, started elsewhere by hand, with its state."""
    inside = set(virtual_network.processes_in(host.namespace))
    return [pid for pid, command in _commands() if _is_agent(command) and (pid in inside or str(host.state) in command)]


def processes_named(program: str, argument: str) -> list[int]:
    """Process ids of a program, whichever interpreter runs it, that was started with an argument."""
    return [
        pid
        for pid, command in _commands()
        if argument in command and program in (Path(each).name for each in command[:3])
    ]


def _is_agent(command: Sequence[str]) -> bool:
    """`shoal-agent`, which runs without a word too, whichever interpreter runs it. Pure."""
    names = [Path(each).name for each in command[:3]]
    return "shoal-agent" in names and "reset" not in command


def leftovers(layout: Layout) -> list[str]:
    """What is left of it, in a line each; none when it is gone."""
    found = [f"network namespace {name}" for name in virtual_network.playground_namespaces(layout)]
    if (Path("/sys/class/net") / layout.uplink).exists():
        found.append(f"link {layout.uplink}")
    found += (f"process {pid} ({' '.join(command)[:80]})" for pid, command in _processes_of(layout))
    found += (f"mount {place}" for place in _mounts_of(layout))
    found += (f"directory {place}" for place in (layout.state, layout.run) if place.exists())
    return found


def summarize(found: Sequence[str]) -> str:
    """The first of them, and how many more. Pure."""
    more = f", and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
    return ", ".join(found[:_MAX_LISTED]) + more


def _processes_of(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    places = tuple(f"{place}/" for place in (layout.state, layout.run))
    for pid, command in _commands():
        if any(f"{each}/".startswith(places) for each in command) and pid != os.getpid():
            yield pid, command


def _mounts_of(layout: Layout) -> Iterator[str]:
    """Mount points of this mount namespace (proc_pid_mountinfo(5))."""
    places = tuple(f"{place}/" for place in (layout.state, layout.run))
    for line in _MOUNTINFO.read_text(errors="replace").splitlines():
        place = _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), line.split()[4])
        if f"{place}/".startswith(places):
            yield place


def _commands() -> Iterator[tuple[int, list[str]]]:
    """Every process with its arguments; one of the kernel, or that has ended, has none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
