"""Which injector a kind of fault has, and a fault from its begin to its end."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import PlannedFault
from tests.chaos.faults import clock, etcd_faults, herd, links, membership, processes
from tests.chaos.workload.hostile_agent import HostileAgent

Injector = Callable[[ChaosCluster, PlannedFault], AbstractContextManager[None]]
"""Injects the fault for as long as the block. The target is no role any more."""

INJECTORS: Mapping[str, Injector] = {
    "loss": links.lossy,
    "delay": links.delayed,
    "reorder": links.reordered,
    "rate": links.narrow,
    "partition-agent": links.partitioned,
    "partition-agent-all": links.partitioned,
    "partition-managers": links.partitioned,
    "partition-manager-all": links.partitioned,
    "partition-flapping": links.flapping,
    "cut-host": links.cut,
    "pause-manager": processes.paused,
    "pause-etcd": processes.paused,
    "pause-agent": processes.paused,
    "kill-manager": processes.killed,
    "kill-etcd": processes.etcd_killed,
    "kill-agent": processes.killed,
    "kill-conmon": processes.conmon_killed,
    "kill-both": processes.killed,
    "crash-agent": processes.crashed,
    "crash-manager": processes.crashed,
    "crash-elected": processes.crashed_as_elected,
    "etcd-slow-disk": etcd_faults.slow_disk,
    "etcd-no-space": etcd_faults.no_space,
    "etcd-compact": etcd_faults.compacted,
    "manager-replaced": membership.replaced,
    "crash-membership": membership.replaced,
    "quorum-lost": processes.killed,
    "herd": herd.herd,
    "clock": clock.wrong_clock,
}
"""All kinds but the hostile agent's, which has a node of its own."""


def injector_of(kind: str, evil: HostileAgent) -> Injector:
    """The injector of a kind."""
    if kind != "hostile-agent":
        return INJECTORS[kind]

    @contextmanager
    def misbehaving(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
        stopping = threading.Event()
        thread = threading.Thread(target=evil.misbehave, args=(fault.value, stopping))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    return misbehaving
