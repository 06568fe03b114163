"""What the kernel has counted of a container, as it is: processor, memory, block devices, links.

Sources: cgroup-v1 (cpuacct, memory, blkio-controller), cgroup-v2, proc(5), all of the kernel's documentation.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from shoal.api.v1.streams_pb2 import BlockUsage, LinkUsage, UsageCounters

ReadFile = Callable[[str, str], str]
"""Content of a file of the container's cgroup, by controller and name; empty if there is none."""

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_NO_LIMIT = 1 << 60
"""Version 1 has the greatest multiple of a page for no limit."""


def read_counters(read: ReadFile, version: int) -> UsageCounters:
    """The counters of a cgroup and of the host's processors, without links."""
    found = _version_1(read) if version == 1 else _version_2(read)
    host = _host_processors(_text(Path("/proc/stat")))
    found.host_cpu_ns, found.host_cpus = host
    return found


def _version_2(read: ReadFile) -> UsageCounters:
    cpu, memory = _keys(read("cpu", "cpu.stat")), _keys(read("memory", "memory.stat"))
    found = UsageCounters(
        cgroup_version=2,
        cpu_ns=cpu.get("usage_usec", 0) * 1000,
        user_ns=cpu.get("user_usec", 0) * 1000,
        system_ns=cpu.get("system_usec", 0) * 1000,
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_ns=cpu.get("throttled_usec", 0) * 1000,
        memory_bytes=_number(read("memory", "memory.current")),
        memory_peak_bytes=_number(read("memory", "memory.peak")),
        memory_limit_bytes=_number(read("memory", "memory.max")),
        inactive_file_bytes=memory.get("inactive_file", 0),
        pids=_number(read("pids", "pids.current")),
        pids_limit=_number(read("pids", "pids.max")),
    )
    found.blocks.extend(block_usage_v2(read("io", "io.stat")))
    return found


def _version_1(read: ReadFile) -> UsageCounters:
    cpu, memory = _keys(read("cpu", "cpu.stat")), _keys(read("memory", "memory.stat"))
    ticks = _keys(read("cpuacct", "cpuacct.stat"))
    limit = _number(read("memory", "memory.limit_in_bytes"))
    found = UsageCounters(
        cgroup_version=1,
        cpu_ns=_number(read("cpuacct", "cpuacct.usage")),
        user_ns=ticks.get("user", 0) * _TICK_NS,
        system_ns=ticks.get("system", 0) * _TICK_NS,
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_ns=cpu.get("throttled_time", 0),
        memory_bytes=_number(read("memory", "memory.usage_in_bytes")),
        memory_peak_bytes=_number(read("memory", "memory.max_usage_in_bytes")),
        memory_limit_bytes=limit if limit < _NO_LIMIT else 0,
        inactive_file_bytes=memory.get("total_inactive_file", 0),
        pids=_number(read("pids", "pids.current")),
        pids_limit=_number(read("pids", "pids.max")),
    )
    in_bytes, operations = (
        read("blkio", f"blkio.throttle.{name}_recursive") or read("blkio", f"blkio.throttle.{name}")
        for name in ("io_service_bytes", "io_serviced")
    )
    found.blocks.extend(block_usage_v1(in_bytes, operations))
    return found


def block_usage_v2(text: str) -> Iterator[BlockUsage]:
    """Of lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …". Pure."""
    for line in text.splitlines():
        device, *pairs = line.split()
        values = {name: int(value) for name, _, value in (pair.partition("=") for pair in pairs) if value.isdigit()}
        major, _, minor = device.partition(":")
        if values and minor.isdigit():
            yield BlockUsage(
                major=int(major),
                minor=int(minor),
                read_bytes=values.get("rbytes", 0),
                written_bytes=values.get("wbytes", 0),
                reads=values.get("rios", 0),
                writes=values.get("wios", 0),
            )


def block_usage_v1(in_bytes: str, operations: str) -> Iterator[BlockUsage]:
    """Of lines "8:0 Read 1", "8:0 Write 2" of both files; others are their sums. Pure."""
    found: dict[str, BlockUsage] = {}
    for text, fields in ((in_bytes, ("read_bytes", "written_bytes")), (operations, ("reads", "writes"))):
        for line in text.splitlines():
            device, _, rest = line.partition(" ")
            kind, _, value = rest.partition(" ")
            major, _, minor = device.partition(":")
            if kind in ("Read", "Write") and minor.isdigit():
                usage = found.setdefault(device, BlockUsage(major=int(major), minor=int(minor)))
                setattr(usage, fields[kind == "Write"], int(value))
    yield from found.values()


def link_usage(text: str) -> Iterator[LinkUsage]:
    """Of /proc/<pid>/net/dev, without the loopback link. Pure."""
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        values = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(values) >= 12:
            yield LinkUsage(
                name=name.strip(),
                received_bytes=values[0],
                received_packets=values[1],
                received_errors=values[2],
                received_dropped=values[3],
                sent_bytes=values[8],
                sent_packets=values[9],
                sent_errors=values[10],
                sent_dropped=values[11],
            )


def read_links(pid: int) -> list[LinkUsage]:
    """Of the network namespace of a process; none if it is the agent's own, or the process has exited."""
    with suppress(OSError):
        if Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink():
            return list(link_usage(_text(Path(f"/proc/{pid}/net/dev"))))
    return []


def _host_processors(text: str) -> tuple[int, int]:
    """Nanoseconds that all processors have worked since the boot, and how many there are. Pure."""
    lines = text.splitlines()
    # Of user, nice, system, idle, iowait, irq, softirq, steal; guests are contained in user. As Docker counts.
    total = sum(int(word) for word in lines[0].split()[1:9]) if lines else 0
    return total * _TICK_NS, sum(line.startswith("cpu") for line in lines[1:])


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""


def _keys(text: str) -> dict[str, int]:
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.strip().isdigit()}


def _number(text: str) -> int:
    """0 for "max" too."""
    return int(text) if text.strip().isdigit() else 0
