"""All managers at once, and all are started at once, while many agents are connected."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import MANAGERS, PlannedFault
from tests.chaos.faults.processes import killed
from tests.chaos.workload.simulated_nodes import simulated_nodes

_DOWN_SECONDS = 1.0
_ALL = "/".join(MANAGERS)


@contextmanager
def herd(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """With so many simulated agents beside the others: they connect first, and all of them come back."""
    if not fault.value:
        with killed(cluster, PlannedFault(fault.kind, _ALL)):
            time.sleep(0.1)
            yield
        return
    with simulated_nodes(cluster, int(fault.value)) as agents:
        agents.remember()
        with killed(cluster, PlannedFault(fault.kind, _ALL)):
            time.sleep(_DOWN_SECONDS)
            yield
        cluster.notes.append(str(agents.await_return()))
