"""An agent's health and metrics, read when somebody asks."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import agent.images.pull_progress  # noqa: F401  # its counter is there before anything is pulled
from agent.journal.journal import Journal
from agent.network.condition_reporter import ConditionReporter
from agent.session.manager_session import ManagerSession
from agent.worker.worker import Worker
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.identity.identity import Identity
from shoal.metrics.families import MetricFamily, MetricType, gauge, gauges
from shoal.monitoring.certificate_expiry import certificate_expiry
from shoal.monitoring.health import HealthCheck

_STATES = {state: TaskState.Name(state).lower() for state in TaskState.values() if state}


class AgentMonitor:
    """Everything that an agent can be asked about itself.

    Args:
        disks: directories on the file systems that fill, by a short name.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        session: ManagerSession,
        journal: Journal,
        condition: ConditionReporter,
        identity: Callable[[], Identity],
        disks: dict[str, Path],
    ) -> None:
        self._worker = worker
        self._session = session
        self._journal = journal
        self._condition = condition
        self._identity = identity
        self._disks = disks

    async def checks(self) -> Sequence[HealthCheck]:
        """Whether the event loop serves, a manager is connected, and the host is in order."""
        problems = self._condition.current.problems
        return [
            HealthCheck("process", is_vital=True),
            HealthCheck(
                "session", "" if self._session.is_connected else "no manager is connected; containers keep running"
            ),
            HealthCheck("host", "; ".join(problems)),
        ]

    async def collect(self) -> Sequence[MetricFamily]:
        """All gauges."""
        identity = self._identity()
        certificates = {"node": identity.certificate, "ca": identity.ca}
        condition = self._condition.current
        return [
            _task_family(self._worker.statuses()),
            gauge("shoal_agent_session_connected", "Whether a manager is connected.", self._session.is_connected),
            gauge("shoal_agent_journal_bytes", "Size of the journal.", self._journal.size_bytes),
            gauge("shoal_agent_host_problems", "Problems that the node reports.", len(condition.problems)),
            gauge("shoal_agent_faulty_paths", "Nodes that this one cannot reach properly.", len(condition.paths)),
            gauge("shoal_agent_underlay_mtu_bytes", "MTU of the network between nodes.", condition.underlay_mtu),
            *await asyncio.to_thread(disk_families, self._disks),
            certificate_expiry(certificates),
        ]


def _task_family(statuses: Sequence[TaskStatus]) -> MetricFamily:
    found = Counter(status.state for status in statuses)
    values: dict[str, float] = {name: found[state] for state, name in _STATES.items()}
    return gauges("shoal_agent_tasks", "Tasks of this node by state.", "state", values)


def disk_families(disks: dict[str, Path]) -> list[MetricFamily]:
    """Space and inodes of file systems; one that cannot be read is left out."""
    found: dict[str, os.statvfs_result] = {}
    for name, path in disks.items():
        with suppress(OSError):
            found[name] = os.statvfs(path)
    return [
        _disk("size_bytes", "Size of the file system.", {n: s.f_blocks * s.f_frsize for n, s in found.items()}),
        _disk("available_bytes", "Free bytes on it.", {n: s.f_bavail * s.f_frsize for n, s in found.items()}),
        _disk("inodes", "Inodes of the file system; 0: it has no limit.", {n: s.f_files for n, s in found.items()}),
        _disk("inodes_available", "Free inodes on it.", {n: s.f_favail for n, s in found.items()}),
    ]


def _disk(name: str, text: str, values: dict[str, int]) -> MetricFamily:
    return MetricFamily(
        f"shoal_agent_disk_{name}", MetricType.GAUGE, text, ("disk",), {(each,): values[each] for each in values}
    )
