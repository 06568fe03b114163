"""Usage of a container as Docker's counters. Pure.

Nodes report rates: CPU time over an interval. Clients compute rates of two samples of counters; so the counters here
begin with the stream, and grow by what the rates say.
"""

from dataclasses import dataclass
from typing import Any

from engine.protocol.go_times import NEVER, time_text_ns
from shoal.api.v1.control_pb2 import TaskStats

_NO_BLOCK_IO = (
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
)  # fmt: skip


@dataclass
class UsageCounters:
    """Counters of one stream.

    Attributes:
        cpus: of the node.
        memory_limit: of the node, bytes; where the container has none.
    """

    name: str
    container_id: str
    cpus: int
    memory_limit: int
    _cpu_ns: int = 0
    _system_ns: int = 0
    _read_ns: int = 0
    _previous: dict[str, Any] | None = None
    _previous_ns: int = 0

    def document(self, stats: TaskStats | None, at_ns: int, interval_ns: int) -> dict[str, Any]:
        """The next line.

        Args:
            stats: of the interval before; None while it does not run.
            at_ns: nanoseconds since the Unix epoch.
        """
        if stats is not None:
            self._cpu_ns += stats.nano_cpus * interval_ns // 10**9
        self._system_ns += interval_ns * self.cpus
        cpu = self._cpu_document()
        document = {
            "name": f"/{self.name}",
            "id": self.container_id,
            "read": time_text_ns(at_ns),
            "preread": time_text_ns(self._previous_ns) if self._previous_ns else NEVER,
            "pids_stats": {"current": stats.pids} if stats is not None else {},
            "blkio_stats": {key: [] for key in _NO_BLOCK_IO},
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": cpu,
            "precpu_stats": self._previous or _empty_cpu(),
            "memory_stats": self._memory_document(stats),
            "networks": {},
        }
        self._previous, self._previous_ns = cpu, at_ns
        return document

    def _cpu_document(self) -> dict[str, Any]:
        usage = {"total_usage": self._cpu_ns, "usage_in_kernelmode": 0, "usage_in_usermode": self._cpu_ns}
        return {
            "cpu_usage": usage,
            "system_cpu_usage": self._system_ns,
            "online_cpus": self.cpus,
            "throttling_data": _throttling(),
        }

    def _memory_document(self, stats: TaskStats | None) -> dict[str, Any]:
        if stats is None:
            return {}
        limit = stats.limit_memory_bytes or self.memory_limit
        return {"usage": stats.memory_bytes, "stats": {"inactive_file": 0, "cache": 0}, "limit": limit}


def _empty_cpu() -> dict[str, Any]:
    usage = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    return {"cpu_usage": usage, "throttling_data": _throttling()}


def _throttling() -> dict[str, int]:
    return {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
