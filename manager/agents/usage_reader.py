"""Resource usage of tasks, sampled from agents: two samples give a rate."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.agents.node_requests import query_nodes
from manager.store.tables import View
from shoal.api.v1.streams_pb2 import ReadUsageRequest, ReadUsageResponse, TaskUsage, UsageCounters
from shoal.api.v1.task_pb2 import Task

MAX_PLAUSIBLE = 1 << 53
"""Bytes, or billionths of a processor, of one task: larger values cannot be true."""


class UsageSource(Protocol):
    """`manager.agents.agent_channels.AgentChannels` is one."""

    async def read_usage(self, agent: AgentAddress, request: ReadUsageRequest) -> ReadUsageResponse:
        """Raises Unavailable when the node does not respond."""
        ...


@dataclass(frozen=True)
class ResourceUsage:
    """Resource usage of one task.

    Attributes:
        nano_cpus: billionths of a CPU, the mean between two readings.
        memory_bytes: without reclaimable page cache.
        counters: the kernel's, if they were asked for.
    """

    nano_cpus: int
    memory_bytes: int
    pids: int
    counters: UsageCounters | None = None


class UsageReader:
    """Remembers the last reading of each task, for rates; one for each purpose, so that intervals are its own.

    Args:
        view: returns the current records, for each reading.
        counters: whether the kernel's counters are read too.
    """

    def __init__(self, *, view: Callable[[], View], source: UsageSource, counters: bool = False) -> None:
        self._counters = counters
        self._view = view
        self._source = source
        self._previous: dict[str, TaskUsage] = {}

    async def read(self, tasks: Iterable[Task]) -> tuple[dict[str, ResourceUsage], list[str]]:
        """Usage by task since the last reading, and one line for each node that did not respond.

        Tasks that are read for the first time are left out.
        """
        by_node: defaultdict[str, list[str]] = defaultdict(list)
        for task in tasks:
            by_node[task.node_id].append(task.id)
        requests = {
            node_id: ReadUsageRequest(task_ids=task_ids, counters=self._counters)
            for node_id, task_ids in by_node.items()
        }
        responses, warnings = await query_nodes(self._view(), requests, self._source.read_usage)
        now: dict[str, TaskUsage] = {}
        for node_id, response in responses.items():
            requested = frozenset(by_node[node_id])  # a node reports its own tasks only
            now.update((usage.task_id, usage) for usage in response.tasks if usage.task_id in requested)
        uses = rates(self._previous, now)
        self._previous = now
        return uses, sorted(warnings)


def rates(before: Mapping[str, TaskUsage], now: Mapping[str, TaskUsage]) -> dict[str, ResourceUsage]:
    """Usage of the tasks that are in both readings. Pure."""
    found = {}
    for task_id, usage in now.items():
        earlier = before.get(task_id)
        if earlier is None or usage.at_ns <= earlier.at_ns:
            continue
        share = max(0, usage.cpu_ns - earlier.cpu_ns) / (usage.at_ns - earlier.at_ns)
        memory_bytes = min(max(usage.memory_bytes, 0), MAX_PLAUSIBLE)
        counters = usage.counters if usage.HasField("counters") else None
        found[task_id] = ResourceUsage(round(min(share * 1e9, MAX_PLAUSIBLE)), memory_bytes, usage.pids, counters)
    return found
