"""Which injector a kind of fault has, and a fault from its begin to its end."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.cluster.record_epochs import RecordEpochs
from tests.chaos.fault_kinds import PlannedFault
from tests.chaos.faults import clock, etcd_faults, herd, links, membership, processes, recovery
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
GOING_BACK = {"majority-lost": recovery.recovered, "all-restored": recovery.restored}
"""Those after which etcd is as it was before."""


def injector_of(kind: str, evil: HostileAgent, epochs: RecordEpochs) -> Injector:
    """The injector of a kind."""
    if kind in GOING_BACK:
        return partial(GOING_BACK[kind], epochs=epochs)
    return partial(_misbehaving, evil=evil) if kind == "hostile-agent" else INJECTORS[kind]


@contextmanager
def _misbehaving(cluster: ChaosCluster, fault: PlannedFault, evil: HostileAgent) -> Iterator[None]:
    stopping = threading.Event()
    thread = threading.Thread(target=evil.misbehave, args=(fault.value, stopping))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
