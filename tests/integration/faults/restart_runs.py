"""Ways to come by the fault points of restarts by the node, as `agent_runs` has the others."""

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

from manager.etcd.majority import RECENT_SECONDS
from tests.integration.cluster.harness import container_process
from tests.integration.faults.fault_rig import FaultRig
from tests.integration.faults.run_steps import Act, create, process_of, remove


@contextmanager
def restarted_by_node(rig: FaultRig) -> Generator[Act]:
    """A container's program ends while no manager runs: the node starts it again, and the managers learn that."""
    create(rig)
    task, pid = rig.running("web")["id"], process_of(rig.cluster, "web")

    def end() -> None:
        failed = rig.failed_sessions()
        rig.cluster.playground.stop_manager(kill=True)
        # Before it notices that, the agent would send the end, and not know whether it was stored.
        rig.cluster.until(lambda: rig.failed_sessions() > failed, "h1's agent to notice that the manager is away")
        rig.managers_are_away(lambda: container_process(rig.host, task) not in (0, pid), start_manager(rig))
        os.kill(pid, signal.SIGKILL)

    yield end
    rig.cluster.until(lambda: is_restarted(rig, task), "the managers to know that the node has restarted it")
    assert process_of(rig.cluster, "web") != pid
    remove(rig, "web")


def is_restarted(rig: FaultRig, task: str) -> bool:
    """Whether the only task of "web" is this one, which runs again; reported when the agent is connected."""
    rows = rig.cluster.tasks("web")
    return [(row["id"], row["state"], row["node_restarts"]) for row in rows] == [(task, "running", 1)]


def start_manager(rig: FaultRig) -> Act:
    """The manager again, with faults as the others."""

    def start() -> None:
        with rig.environment():
            rig.cluster.playground.start_manager()

    return start


@contextmanager
def ended_with_manager(rig: FaultRig) -> Generator[Act]:
    """A container's program ends while a manager runs: it has a successor, and is not started again itself."""
    create(rig)
    task, pid = rig.running("web")["id"], process_of(rig.cluster, "web")
    yield lambda: os.kill(pid, signal.SIGKILL)
    row = rig.cluster.until(lambda: next((each for each in current(rig) if each["id"] != task), None), "the successor")
    assert row["node_restarts"] is None and not container_process(rig.host, task)
    remove(rig, "web")


def current(rig: FaultRig) -> list[dict[str, Any]]:
    """Tasks of "web" that run."""
    return [row for row in rig.cluster.tasks("web") if row["state"] == "running"]


@contextmanager
def dropped_end(rig: FaultRig) -> Generator[Act]:
    """A container's program ends once etcd does not answer, which the manager has not noticed yet: nobody knows of the
    end but the node, which starts it again."""
    create(rig)
    task, pid = rig.running("web")["id"], process_of(rig.cluster, "web")
    etcd = rig.etcd_pid()

    def end() -> None:
        os.kill(etcd, signal.SIGSTOP)
        time.sleep(RECENT_SECONDS + 0.5)  # before that, the end may be stored when etcd goes on
        resume = partial(os.kill, etcd, signal.SIGCONT)
        rig.managers_are_away(lambda: container_process(rig.host, task) not in (0, pid), resume)
        os.kill(pid, signal.SIGKILL)

    try:
        yield end
    finally:
        os.kill(etcd, signal.SIGCONT)
    rig.cluster.until(lambda: is_restarted(rig, task), "the managers to know that the node has restarted it")
    remove(rig, "web")
