"""What happens to etcd: a slow disk, no space, history that is gone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cli.client import Client
from shoal.api.v1.control_pb2 import CompactStoreRequest
from shoal.errors import ShoalError
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import MANAGERS, PlannedFault
from tests.chaos.polling import until

_BLKIO = Path("/sys/fs/cgroup/blkio")
_ATTEMPTS_SECONDS = 60.0


@contextmanager
def slow_disk(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """So many write operations a second at most (cgroup v1, blkio), of one etcd or of each."""
    names = MANAGERS if fault.target == "all" else (fault.target,)
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_throttled(cluster, name, int(fault.value)))
        yield


@contextmanager
def _throttled(cluster: ChaosCluster, manager: str, operations: int) -> Iterator[None]:
    group = _BLKIO / f"chaos-{cluster.layout.name}-{manager}"
    group.mkdir(exist_ok=True)
    device = cluster.state(manager).stat().st_dev
    number = f"{device >> 8 & 0xFFF}:{device & 0xFF | device >> 12 & 0xFFF00}"
    (group / "blkio.throttle.write_iops_device").write_text(f"{number} {operations}")
    pid = cluster.etcd_pid(manager)
    if pid:
        (group / "cgroup.procs").write_text(str(pid))
    try:
        yield
    finally:
        for line in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (_BLKIO / "cgroup.procs").write_text(line)
        until(lambda: not (group / "cgroup.procs").read_text().split(), 10.0)
        with suppress(OSError):
            group.rmdir()


@contextmanager
def no_space(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """The alarm that etcd raises when its quota is used up: it refuses writes until an operator has made space."""
    cluster.etcd.raise_no_space(cluster.etcd.leader() or MANAGERS[0])
    try:
        yield
    finally:
        with cluster.client() as client:
            if not until(lambda: _compacted(client), _ATTEMPTS_SECONDS, 1.0):
                raise TimeoutError("`shoal cluster compact` did not clear the alarm")


@contextmanager
def compacted(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """History up to now is gone."""
    cluster.etcd.compact()
    yield


def _compacted(client: Client) -> bool:
    """`shoal cluster compact`."""
    with suppress(ShoalError):
        client.call(client.control.CompactStore, CompactStoreRequest())
        return True
    return False
