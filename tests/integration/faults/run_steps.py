"""What the runs at fault points ask of the cluster, and wait for."""

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.integration.cluster.harness import Cluster
from tests.integration.faults.fault_rig import HELLO, ON_H1, FaultRig

Act = Callable[[], object]
Run = Callable[[FaultRig], AbstractContextManager[Act]]
"""Prepares on entry and gives what is asked for while faults are armed; on exit, when the agent is back, waits for what
was asked for and removes it."""


def create(rig: FaultRig, *options: str, image: str = HELLO) -> None:
    """Ask for the service "web" on h1."""
    words = ("--detach", "--name", "web", "--network", "net", *ON_H1, *options)
    rig.cluster.quick("service", "create", *words, image)


def remove(rig: FaultRig, service: str) -> None:
    """Remove a service, and wait until its tasks are gone."""
    rig.cluster.quick("service", "rm", service)
    gone(rig)


def gone(rig: FaultRig) -> None:
    """Wait until only the bystander has tasks."""
    rig.cluster.until(lambda: len(rig.cluster.json("node", "ps", "h1")) <= 1, "the task to be gone")


def remove_volume(rig: FaultRig) -> None:
    rig.cluster.quick("volume", "rm", "data")
    rig.cluster.until(lambda: not rig.cluster.json("volume", "ls"), "the volume to be deleted")


def process_of(cluster: Cluster, service: str) -> int:
    """Process id of its one task, once it runs."""
    found = cluster.until(lambda: list(cluster.pids(service).values()), f"{service} to run")
    return int(found[0])


def run_container(rig: FaultRig, *options: str) -> None:
    """The container "c" on h1."""
    rig.cluster.quick("run", "-d", "--name", "c", "--node", "h1", *options, HELLO, "sleep", "1000")
    rig.cluster.until(lambda: state(rig) == "running", "the container to run")


def remove_container(rig: FaultRig) -> None:
    rig.cluster.quick("rm", "-f", "c")


def container(rig: FaultRig) -> dict[str, int]:
    """Of "c"."""
    (document,) = rig.cluster.json("container", "inspect", "c")
    status: dict[str, int] = document["task_status"]
    return status


def state(rig: FaultRig) -> str:
    """Docker's word for the state of "c"; empty: it does not exist."""
    rows = rig.cluster.quick("ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines()
    return next((row.split()[1] for row in rows if row.split()[0] == "c"), "")


def in_host(rig: FaultRig, *command: str) -> "subprocess.CompletedProcess[str]":
    """A program in h1's network."""
    words = ["nsenter", f"--net=/run/netns/{rig.host.namespace}", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
