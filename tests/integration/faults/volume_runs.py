"""Runs at the fault points of volumes: local ones, those that move, and those of a CSI driver."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from tests.csi_driver.driver import DRIVER
from tests.integration.cluster.harness import data_directories, inside
from tests.integration.faults.fault_rig import HELLO, ON_H1, FaultRig
from tests.integration.faults.run_steps import Act, create, gone, process_of, remove, remove_volume


@contextmanager
def new_volume(rig: FaultRig) -> Generator[Act]:
    """A volume that is filled from the image when the first container starts on it."""
    image = rig.push_image(files=50)
    yield lambda: create(rig, "--mount", "source=data,target=/data", image=image)
    pid = process_of(rig.cluster, "web")
    assert inside(pid, "/bin/sh", "-c", "set -- /data/*; echo $#").stdout.strip() == "50"
    remove(rig, "web")
    remove_volume(rig)


@contextmanager
def removed_volume(rig: FaultRig) -> Generator[Act]:
    """A volume with data is removed."""
    create(rig, "--mount", "source=data,target=/data")
    rig.running("web")
    remove(rig, "web")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("volume", "rm", "data"))
    calls[0].wait(60)
    rig.cluster.until(lambda: not rig.cluster.json("volume", "ls"), "the volume to be deleted")


@contextmanager
def moved_volume(rig: FaultRig) -> Generator[Act]:
    """A volume is moved from h2 to h1."""
    cluster = rig.cluster
    create_with_data(rig, "h2", instead_of="h1")
    inside(process_of(cluster, "web"), "/bin/sh", "-c", "echo precious > /data/row")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("volume", "move", "data", "--to", "h1", "--detach"))
    calls[0].wait(60)
    arrived(rig, "h1")


@contextmanager
def moved_away(rig: FaultRig) -> Generator[Act]:
    """A volume is moved from h1 to h2, and its old copy is deleted."""
    cluster = rig.cluster
    create_with_data(rig, "h1", instead_of="h2")
    inside(process_of(cluster, "web"), "/bin/sh", "-c", "echo precious > /data/row")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("volume", "move", "data", "--to", "h2", "--detach"))
    calls[0].wait(60)
    arrived(rig, "h2")


def create_with_data(rig: FaultRig, node: str, *, instead_of: str) -> None:
    """A service with a volume on the node, which nothing binds to it: the other one takes no tasks for a moment."""
    cluster = rig.cluster
    cluster.quick("node", "update", "--availability", "pause", instead_of)
    cluster.quick("service", "create", "--name", "web", "--mount", "source=data,target=/data", *ON_H1[2:], HELLO)
    cluster.quick("node", "update", "--availability", "active", instead_of)
    assert rig.running("web")["node"] == node


def arrived(rig: FaultRig, node: str) -> None:
    """Wait until the moved volume is in use on the node, with its data, and nowhere else; then remove it."""
    cluster = rig.cluster
    cluster.until(lambda: rig.running("web")["node"] == node, "the task to follow its data", seconds=90)
    assert inside(process_of(cluster, "web"), "/bin/cat", "/data/row").stdout == "precious\n"
    cluster.until(lambda: len(data_directories(cluster)) == 1, "the old copy to be deleted")
    remove(rig, "web")
    remove_volume(rig)


@contextmanager
def csi_mounted(rig: FaultRig) -> Generator[Act]:
    """A volume of a CSI driver is mounted for a container."""
    make_csi_volume(rig)
    yield lambda: create(rig, "--mount", "source=data,target=/data")
    pid = process_of(rig.cluster, "web")
    assert inside(pid, "/bin/sh", "-c", "echo mine > /data/file").returncode == 0
    remove(rig, "web")
    remove_csi_volume(rig)


@contextmanager
def csi_unmounted(rig: FaultRig) -> Generator[Act]:
    """A volume of a CSI driver is not needed any more."""
    make_csi_volume(rig)
    create(rig, "--mount", "source=data,target=/data")
    rig.running("web")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("service", "rm", "web"))
    calls[0].wait(60)
    gone(rig)
    remove_csi_volume(rig)


@contextmanager
def csi_created(rig: FaultRig) -> Generator[Act]:
    """A volume of a CSI driver is created, once, and can be used."""
    rig.cluster.until(lambda: rig.drivers.is_ready("h1"), "the driver to be ready")
    calls: list[subprocess.Popen[bytes]] = []
    words = ("volume", "create", "--driver", DRIVER, "--opt", "tier=gold", "--size", "1M", "data")
    yield lambda: calls.append(rig.background(*words))
    calls[0].wait(60)
    rig.cluster.until(lambda: len(rig.drivers.pool.volumes()) == 1, "the driver to have one volume")
    create(rig, "--mount", "source=data,target=/data")
    pid = process_of(rig.cluster, "web")
    assert inside(pid, "/bin/sh", "-c", "echo mine > /data/file").returncode == 0
    remove(rig, "web")
    remove_csi_volume(rig)


def make_csi_volume(rig: FaultRig) -> None:
    rig.cluster.until(lambda: rig.drivers.is_ready("h1"), "the driver to be ready")
    rig.cluster.quick("volume", "create", "--driver", DRIVER, "--opt", "tier=gold", "--size", "1M", "data")


def remove_csi_volume(rig: FaultRig) -> None:
    """With nothing left of it, on the host or in the driver's storage."""
    remove_volume(rig)
    assert (rig.drivers.pool.volumes(), rig.drivers.mounted()) == ([], [])
    assert rig.drivers.calls("VIOLATION") == []
