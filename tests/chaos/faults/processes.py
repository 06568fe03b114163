"""Processes that are stopped, killed, or end at a point of their own code."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from cli.playground import daemons
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.cluster.host_state import conmons_of
from tests.chaos.fault_kinds import MANAGERS, PlannedFault
from tests.chaos.report import Reached

_LOOK_SECONDS = 0.05


@contextmanager
def paused(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end: a manager, an agent, or a manager's etcd."""
    of_etcd = fault.kind == "pause-etcd"
    pid = cluster.etcd_pid(fault.target) if of_etcd else cluster.pid(fault.target)
    if pid:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGCONT)


@contextmanager
def killed(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """SIGKILL of one process, or of two; they are started again at the end."""
    with ExitStack() as stack:
        for name in fault.target.split("/"):
            stack.enter_context(cluster.expected_down(name))
        for name in fault.target.split("/"):
            cluster.kill(name)
        yield


@contextmanager
def etcd_killed(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """SIGKILL of a manager's etcd; the manager starts it again."""
    with suppress(ProcessLookupError):
        if pid := cluster.etcd_pid(fault.target):
            os.kill(pid, signal.SIGKILL)
    yield


@contextmanager
def conmon_killed(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """SIGKILL of the monitor of one container of the host."""
    for pid in conmons_of(cluster.host(fault.target))[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    yield


@contextmanager
def crashed(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """The process ends when it reaches the point, if it does; at the end it is started again. An agent is started again
    at first too, since some points are those of a start.
    """
    name = fault.target
    with cluster.expected_down(name):
        armed = cluster.fault_file(name)
        armed.write_text(f"{fault.value}=kill@1")
        try:
            if name not in MANAGERS:
                cluster.kill(name)
                cluster.start(name)
            yield
            if not daemons.is_running(cluster.pid(name)):
                cluster.reached_points.append(Reached(name, fault.value))
        finally:
            armed.unlink()


@contextmanager
def crashed_as_elected(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """The leader is killed, and the manager that is elected then ends at the point, at which it has written nothing yet
    of its term, or has just read what former leaders wrote.
    """
    others = [name for name in MANAGERS if name != fault.target]
    with killed(cluster, fault), crashed_once(cluster, others, fault.value):
        yield


@contextmanager
def crashed_once(cluster: ChaosCluster, names: Sequence[str], point: str) -> Iterator[None]:
    """The first of these programs that reaches the point ends there, and is started again at once.

    Those that do not run are started.
    """
    stopping = threading.Event()

    def mind() -> None:
        while not stopping.wait(_LOOK_SECONDS):
            for name in names:
                if not daemons.is_running(cluster.pid(name)):
                    cluster.reached_points.append(Reached(name, point))
                    _disarm(cluster, names)
                    cluster.start(name)
                    return

    with ExitStack() as stack:
        for name in names:
            stack.enter_context(cluster.expected_down(name))
            cluster.fault_file(name).write_text(f"{point}=kill@1")
            if not daemons.is_running(cluster.pid(name)):
                cluster.start(name)
        stack.callback(_disarm, cluster, names)
        thread = threading.Thread(target=mind)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stopping.set)
        yield


def _disarm(cluster: ChaosCluster, names: Sequence[str]) -> None:
    for name in names:
        cluster.fault_file(name).unlink(missing_ok=True)
