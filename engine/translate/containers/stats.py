"""Usage of a container as Docker's counters. Pure.

A line has two samples of the processor counters, of now and of the line before, of which clients compute a rate. In a
first line the one before is computed from the rate that the node reports with its counters.
"""

from dataclasses import dataclass
from typing import Any

from engine.protocol.go_times import NEVER, time_text_ns
from shoal.api.v1.control_pb2 import TaskStats
from shoal.api.v1.streams_pb2 import BlockUsage, LinkUsage, UsageCounters

_BLOCK_IO_KEYS = (
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
)  # fmt: skip


@dataclass
class StatsLines:
    """The lines of one stream.

    Attributes:
        cpus: of the node. memory_limit: of the node, bytes; where the container has none.
        has_first_rate: of the first line there is a sample before too.
    """

    name: str
    container_id: str
    cpus: int
    memory_limit: int
    has_first_rate: bool = True
    _previous: dict[str, Any] | None = None
    _previous_ns: int = 0

    def line(self, stats: TaskStats | None, at_ns: int, interval_ns: int) -> dict[str, Any]:
        """The next one.

        Args:
            stats: of the interval before; None while it does not run.
            at_ns: nanoseconds since the Unix epoch.
        """
        found = stats if stats is not None else TaskStats()
        counters = found.counters
        if not counters.host_cpus:
            counters.host_cpus = self.cpus
        if self._previous is None and stats is not None and self.has_first_rate:
            self._previous, self._previous_ns = _cpu(_before(found, interval_ns)), at_ns - interval_ns
        cpu = _cpu(counters) if stats is not None else _no_cpu()
        document = {
            "name": f"/{self.name}",
            "id": self.container_id,
            "read": time_text_ns(at_ns),
            "preread": time_text_ns(self._previous_ns) if self._previous_ns else NEVER,
            "pids_stats": _pids(found) if stats is not None else {},
            "blkio_stats": _block_io(counters),
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": cpu,
            "precpu_stats": self._previous or _no_cpu(),
            "memory_stats": self._memory(found) if stats is not None else {},
            "networks": {link.name: _link(link) for link in counters.links},
        }
        if stats is not None:
            self._previous, self._previous_ns = cpu, at_ns
        return document

    def _memory(self, stats: TaskStats) -> dict[str, Any]:
        counters = stats.counters
        # Clients subtract the part of the cache that can go at once.
        usage = counters.memory_bytes or stats.memory_bytes
        cache = counters.inactive_file_bytes
        document: dict[str, Any] = {"usage": usage}
        if counters.cgroup_version == 1:
            document["max_usage"] = counters.memory_peak_bytes
            document["stats"] = {"cache": cache, "inactive_file": cache, "total_inactive_file": cache}
        else:
            document["stats"] = {"cache": cache, "inactive_file": cache}
        document["limit"] = counters.memory_limit_bytes or stats.limit_memory_bytes or self.memory_limit
        return document


def _before(stats: TaskStats, interval_ns: int) -> UsageCounters:
    """The counters at the beginning of the interval."""
    counters = stats.counters
    before = UsageCounters()
    before.CopyFrom(counters)
    spent = stats.nano_cpus * interval_ns // 10**9
    before.cpu_ns = max(counters.cpu_ns - spent, 0)
    before.host_cpu_ns = max(counters.host_cpu_ns - interval_ns * counters.host_cpus, 0)
    return before


def _cpu(counters: UsageCounters) -> dict[str, Any]:
    usage = {
        "total_usage": counters.cpu_ns,
        "usage_in_kernelmode": counters.system_ns,
        "usage_in_usermode": counters.user_ns,
    }
    throttling = {
        "periods": counters.periods,
        "throttled_periods": counters.throttled_periods,
        "throttled_time": counters.throttled_ns,
    }
    return {
        "cpu_usage": usage,
        "system_cpu_usage": counters.host_cpu_ns,
        "online_cpus": counters.host_cpus,
        "throttling_data": throttling,
    }


def _no_cpu() -> dict[str, Any]:
    usage = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    return {"cpu_usage": usage, "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}}


def _pids(stats: TaskStats) -> dict[str, int]:
    counters = stats.counters
    document = {"current": counters.pids or stats.pids}
    return document | {"limit": counters.pids_limit} if counters.pids_limit else document


def _block_io(counters: UsageCounters) -> dict[str, Any]:
    read, write = ("Read", "Write") if counters.cgroup_version == 1 else ("read", "write")
    blocks = counters.blocks
    counted = {
        "io_service_bytes_recursive": [
            _block(each, operation, value)
            for each in blocks
            for operation, value in ((read, each.read_bytes), (write, each.written_bytes))
        ],
        "io_serviced_recursive": [
            _block(each, operation, value)
            for each in blocks
            for operation, value in ((read, each.reads), (write, each.writes))
        ],
    }
    return {key: counted.get(key, []) for key in _BLOCK_IO_KEYS}


def _block(block: BlockUsage, operation: str, value: int) -> dict[str, Any]:
    return {"major": block.major, "minor": block.minor, "op": operation, "value": value}


def _link(link: LinkUsage) -> dict[str, int]:
    return {
        "rx_bytes": link.received_bytes,
        "rx_packets": link.received_packets,
        "rx_errors": link.received_errors,
        "rx_dropped": link.received_dropped,
        "tx_bytes": link.sent_bytes,
        "tx_packets": link.sent_packets,
        "tx_errors": link.sent_errors,
        "tx_dropped": link.sent_dropped,
    }
