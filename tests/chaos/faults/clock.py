"""A manager with a wrong wall clock: libfaketime's, read from a file, for that process alone; its etcd has the host's.

The manager is started anew so, and again at the end: the library is loaded when a program starts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import PlannedFault

LIBRARIES = "*/faketime/libfaketime.so.1"


def library() -> Path | None:
    """Where Debian's package has it; None: it is not installed."""
    return next(Path("/usr/lib").glob(LIBRARIES), None)


@contextmanager
def wrong_clock(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """So many seconds off, "+3600"."""
    found, name = library(), fault.target
    if found is None:
        raise FileNotFoundError("libfaketime is not installed: apt-get install libfaketime")
    file = cluster.layout.state / f"clock-{name}"
    file.write_text(f"{fault.value}s\n")
    environment = {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }
    with cluster.expected_down(name):
        cluster.kill(name)
        cluster.start(name, environment)
        yield
        cluster.kill(name)
