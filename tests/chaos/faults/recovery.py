"""What only an operator can mend: a majority of managers is lost for good, or all of them are.

Etcd goes back then, and what was acknowledged later is lost: the checker is told from which revision on.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from cli.playground import daemons, manager_servers
from shoal.api.v1.cluster_pb2 import Epoch
from shoal.backups.backup_reader import inspect_backup
from shoal.errors import ShoalError
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.cluster.etcd_reader import NoMember
from tests.chaos.cluster.manager_view import not_converged
from tests.chaos.cluster.record_epochs import RecordEpochs
from tests.chaos.fault_kinds import BEHIND, MANAGERS, PlannedFault
from tests.chaos.faults.membership import write_manager_token
from tests.chaos.polling import until

_STOP_SECONDS = 10.0
_COMMAND_SECONDS = 120.0
_READY_SECONDS = 120.0
_CONVERGED_SECONDS = 180.0
_BEHIND_SECONDS = 4.0
_EPOCHS = b"/shoal/v1/epochs/"


@contextmanager
def recovered(cluster: ChaosCluster, fault: PlannedFault, epochs: RecordEpochs) -> Iterator[None]:
    """Two managers are lost with their disks; after the fault an operator continues with the third one alone, and two
    join it. With the value `BEHIND` it has not got the last seconds, since its etcd stood still.
    """
    lost = fault.target.split("/")
    (survivor,) = (name for name in MANAGERS if name not in lost)
    with ExitStack() as stack:
        for name in MANAGERS:
            stack.enter_context(cluster.expected_down(name))
        with _frozen_etcd(cluster, survivor, fault.value == BEHIND), epochs.all_seen():
            for name in lost:
                cluster.kill(name)
        for name in lost:
            shutil.rmtree(cluster.state(name))
        yield
        with epochs.going_back() as begin:
            _stop(cluster, survivor)
            _run(cluster, survivor, "recover", "--force")
            cluster.start(survivor)
            begin.kept = _first_revision_of_epoch(cluster, survivor) - 1
        _join(cluster, survivor, lost)
    _await_convergence(cluster)


@contextmanager
def restored(cluster: ChaosCluster, fault: PlannedFault, epochs: RecordEpochs) -> Iterator[None]:
    """A backup is made; so many seconds later, the fault's value, all managers are lost with their disks. After the
    fault an operator restores the backup to the first host, and two managers join.
    """
    first, *others = MANAGERS
    file, key = cluster.layout.state / "chaos.backup", cluster.layout.state / "chaos.key"
    with ExitStack() as stack:
        file.unlink(missing_ok=True)
        _run(cluster, first, "backup", str(file))
        shutil.copy2(cluster.state(first) / "cluster.key", key)
        with file.open("rb") as opened:
            kept = inspect_backup(opened).header.revision - _revision_offset(cluster, first)
        time.sleep(float(fault.value))
        for name in MANAGERS:
            stack.enter_context(cluster.expected_down(name))
        with epochs.all_seen():
            for name in MANAGERS:
                cluster.kill(name)
        for name in MANAGERS:
            shutil.rmtree(cluster.state(name))
        yield
        with epochs.going_back() as begin:
            begin.kept, begin.from_scratch = kept, True
            cluster.state(first).mkdir(mode=0o700)
            shutil.copy2(key, cluster.state(first) / "cluster.key")
            _run(cluster, first, "restore", "--force", str(file))
            cluster.join_by(first, "")
            cluster.start(first)
            _first_revision_of_epoch(cluster, first)
        _join(cluster, first, others)
    _await_convergence(cluster)


@contextmanager
def _frozen_etcd(cluster: ChaosCluster, manager: str, frozen: bool) -> Iterator[None]:
    """The manager's etcd stands still from some seconds before the block until its end."""
    pid = cluster.etcd_pid(manager) if frozen else 0
    if pid:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(_BEHIND_SECONDS)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGCONT)


def _stop(cluster: ChaosCluster, name: str) -> None:
    daemons.stop([cluster.pid(name)], grace_seconds=_STOP_SECONDS)


def _run(cluster: ChaosCluster, name: str, command: str, *arguments: str) -> None:
    """`shoal-manager …` on a manager's host. Raises RuntimeError: it failed."""
    program = [str(daemons.BIN / "shoal-manager"), command, "--state-directory", str(cluster.state(name)), *arguments]
    entering = ["nsenter", f"--net=/run/netns/{cluster.namespace(name)}", "--"]
    done = subprocess.run([*entering, *program], capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"shoal-manager {command}: {done.stdout}{done.stderr}")


def _first_revision_of_epoch(cluster: ChaosCluster, manager: str) -> int:
    """At which the epoch that is now was begun, as soon as the manager's etcd answers. Raises TimeoutError."""
    found: list[int] = []

    def is_there() -> bool:
        with suppress(NoMember):
            _, records = cluster.etcd.records(manager)
            found.extend(each.create_revision for key, each in records.items() if key.startswith(_EPOCHS))
        return bool(found)

    _await(is_there, f"etcd of {manager} does not answer")
    return found[0]


def _revision_offset(cluster: ChaosCluster, manager: str) -> int:
    """What the epoch that is now adds to etcd's revisions."""
    _, records = cluster.etcd.records(manager)
    return max(Epoch.FromString(each.value).revision_offset for key, each in records.items() if key.startswith(_EPOCHS))


def _join(cluster: ChaosCluster, first: str, others: Sequence[str]) -> None:
    """The others join the first one, each with a token of its own. Raises TimeoutError."""
    for number, name in enumerate(others, 2):
        with cluster.client() as client:
            write_manager_token(cluster, client)
        cluster.join_by(name, first)
        cluster.start(name)
        _await(partial(_is_voting, cluster, number), f"{name} does not join")


def _is_voting(cluster: ChaosCluster, number: int) -> bool:
    with suppress(ShoalError), cluster.client() as client:
        return manager_servers.voters(client) == number
    return False


def _await_convergence(cluster: ChaosCluster) -> None:
    """What was restored is other than what runs, so that much is started and stopped: part of the fault."""

    def is_converged() -> bool:
        with suppress(ShoalError), cluster.client() as client:
            return not not_converged(client)
        return False

    _await(is_converged, "the cluster does not converge", _CONVERGED_SECONDS)


def _await(condition: Callable[[], bool], problem: str, seconds: float = _READY_SECONDS) -> None:
    if not until(condition, seconds, 0.5):
        raise TimeoutError(problem)
