"""One way to come by each fault point of the agent, and of the leader's controllers: what is there before, what is
asked for, and how it has to end.

Each ends with h1 as it was before, so that the test can compare.
"""

import subprocess
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from agent.journal.frames import frame
from tests.csi_driver.driver import DRIVER
from tests.integration.cluster.harness import Cluster, data_directories, inside
from tests.integration.faults.fault_rig import HELLO, ON_H1, FaultRig

Act = Callable[[], object]
Run = Callable[[FaultRig], AbstractContextManager[Act]]
"""Prepares on entry and gives what is asked for while faults are armed; on exit, when the agent is back, waits for what
was asked for and removes it."""


@contextmanager
def started_service(rig: FaultRig) -> Generator[Act]:
    """A service with a network and a port starts, answers, and is removed."""
    cluster = rig.cluster
    yield lambda: create(rig, "--publish", "mode=host,target=80,published=8088")
    row = rig.running("web")
    answer = in_host(rig, "wget", "-qO-", "-T5", f"http://{rig.host.address}:8088/")
    assert answer.returncode == 0, answer.stderr
    assert [each["id"] for each in cluster.tasks("web")] == [row["id"]]
    remove(rig, "web")


@contextmanager
def stopped_service(rig: FaultRig) -> Generator[Act]:
    """A service with a network and a port of the whole cluster is removed."""
    create(rig, "--publish", "target=80,published=8089")
    rig.running("web")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("service", "rm", "web"))
    calls[0].wait(60)
    gone(rig)


@contextmanager
def scaled_service(rig: FaultRig) -> Generator[Act]:
    """A task with a port of its host is stopped, once nobody can connect to it any more."""
    create(rig, "--publish", "mode=host,target=80,published=8089")
    rig.running("web")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("service", "scale", "web=0"))
    calls[0].wait(60)
    rig.cluster.until(lambda: not rig.cluster.tasks("web"), "the task to be stopped")
    remove(rig, "web")


@contextmanager
def pulled_image(rig: FaultRig) -> Generator[Act]:
    """An image that no node has yet, with 400 files, which are all there."""
    image = rig.push_image(files=400)
    yield lambda: create(rig, image=image)
    pid = process_of(rig.cluster, "web")
    assert inside(pid, "/bin/sh", "-c", "set -- /data/*; echo $#").stdout.strip() == "400"
    remove(rig, "web")


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
    cluster.quick("service", "create", "--name", "web", "--mount", "source=data,target=/data", *ON_H1[2:], HELLO)
    if rig.running("web")["node"] == "h1":
        cluster.quick("volume", "move", "data", "--to", "h2")
    inside(process_of(cluster, "web"), "/bin/sh", "-c", "echo precious > /data/row")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("volume", "move", "data", "--to", "h1", "--detach"))
    calls[0].wait(60)
    arrived(rig, "h1")


@contextmanager
def moved_away(rig: FaultRig) -> Generator[Act]:
    """A volume is moved from h1 to h2, and its old copy is deleted."""
    cluster = rig.cluster
    cluster.quick("service", "create", "--name", "web", "--mount", "source=data,target=/data", *ON_H1[2:], HELLO)
    if rig.running("web")["node"] == "h2":
        cluster.quick("volume", "move", "data", "--to", "h1")
    inside(process_of(cluster, "web"), "/bin/sh", "-c", "echo precious > /data/row")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("volume", "move", "data", "--to", "h2", "--detach"))
    calls[0].wait(60)
    arrived(rig, "h2")


def arrived(rig: FaultRig, node: str) -> None:
    """Wait until the moved volume is in use on the node, with its data, and nowhere else; then remove it."""
    cluster = rig.cluster
    cluster.until(lambda: rig.running("web")["node"] == node, "the task to follow its data", seconds=90)
    assert inside(process_of(cluster, "web"), "/bin/cat", "/data/row").stdout == "precious\n"
    cluster.until(lambda: len(data_directories(cluster)) == 1, "the old copy to be deleted")
    remove(rig, "web")
    remove_volume(rig)


@contextmanager
def made_container(rig: FaultRig) -> Generator[Act]:
    """A container of one's own is made and started."""
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("run", "-d", "--name", "c", "--node", "h1", HELLO, "sleep", "1000"))
    calls[0].wait(60)
    rig.cluster.until(lambda: state(rig) == "running", "the container to run")
    remove_container(rig)


@contextmanager
def removed_container(rig: FaultRig) -> Generator[Act]:
    """A container that runs is removed."""
    run_container(rig)
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("rm", "-f", "c"))
    calls[0].wait(60)
    if state(rig):
        remove_container(rig)


def connected(*network: str) -> Run:
    """A container joins a network while it runs, and goes on."""

    @contextmanager
    def run(rig: FaultRig) -> Generator[Act]:
        run_container(rig, *network)
        pid, calls = container(rig)["pid"], list[subprocess.Popen[bytes]]()
        yield lambda: calls.append(rig.background("network", "connect", "net", "c"))
        calls[0].wait(60)

        def has_both() -> bool:
            command = ["nsenter", f"--target={pid}", "--net", "ip", "-br", "-4", "addr", "show", "eth0"]
            shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
            return len(shown) >= (3 if network else 4)

        rig.cluster.until(has_both, "the container to be on the network")
        assert container(rig)["pid"] == pid, "it was restarted"
        remove_container(rig)

    return run


@contextmanager
def committed(rig: FaultRig) -> Generator[Act]:
    """A container's changes become an image; the container goes on, and another attempt succeeds."""
    run_container(rig)
    pid = container(rig)["pid"]
    inside(pid, "/bin/sh", "-c", "echo mine > /changed")
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background("commit", "c", "committed:1"))
    calls[0].wait(60)
    rig.cluster.shoal("commit", "c", "committed:1")
    assert (state(rig), container(rig)["pid"]) == ("running", pid)
    rig.cluster.quick("rmi", "--force", "committed:1")
    remove_container(rig)


@contextmanager
def built(rig: FaultRig) -> Generator[Act]:
    """An image is built on h1; another attempt succeeds."""
    context = rig.cluster.layout.state / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(f"FROM {HELLO}\nRUN echo built > /built\n")
    words = ("build", "--no-cache", "--node", "h1", "--tag", "built:1", str(context))
    calls: list[subprocess.Popen[bytes]] = []
    yield lambda: calls.append(rig.background(*words))
    calls[0].wait(60)
    rig.cluster.shoal(*words)
    rig.cluster.quick("rmi", "--force", "built:1")


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


@contextmanager
def compacted_journal(rig: FaultRig) -> Generator[Act]:
    """The journal is mostly of what is not needed any more, so that the next record has it written anew."""
    rig.cluster.playground.stop_agent(rig.host, kill=True)
    with (rig.host.state / "journal" / "records").open("ab") as file:
        for _ in range(64):
            file.write(frame("network/unused", bytes(32 << 10)) + frame("network/unused", None))
    rig.start_agent()
    yield lambda: create(rig)
    rig.running("web")
    assert (rig.host.state / "journal" / "records").stat().st_size < 1 << 20
    remove(rig, "web")


@contextmanager
def recovered(rig: FaultRig) -> Generator[Act]:
    """An agent that starts with a container that runs, one that has exited, and one of which only a half is there."""
    create(rig)
    pid = process_of(rig.cluster, "web")
    rig.cluster.playground.stop_agent(rig.host, kill=True)
    half = rig.host.run / "bundles" / "a0half00000000000000000000"
    half.mkdir()
    yield rig.spawn_agent
    assert process_of(rig.cluster, "web") == pid, "it was restarted"
    assert not half.exists()
    remove(rig, "web")


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


START = (
    "agent.assignments.accepted", "agent.task.accepted", "agent.task.made", "agent.task.connected",
    "agent.task.started", "agent.task.running", "agent.journal.opened", "agent.journal.written",
    "agent.attach.namespace", "agent.attach.host-end", "agent.attach.container-end", "agent.attach.admitted",
    "agent.start.directories", "agent.start.mount-namespace", "agent.start.overlay", "agent.start.spec",
    "agent.start.spawn", "agent.start.create", "agent.start.record", "agent.start.start",
)  # fmt: skip
STOP = (
    "agent.stop.signalled", "agent.stop.detached", "agent.stop.released",
    "agent.stop.log-removed", "agent.stop.forgotten", "agent.detach.withdrawn", "agent.detach.link-marked",
    "agent.detach.swept", "agent.remove.supervision", "agent.remove.cgroup", "agent.remove.runtime-state",
    "agent.remove.upper", "agent.remove.bundle",
)  # fmt: skip
PULL = (
    "agent.pull.manifest", "agent.pull.layer-bytes", "agent.pull.layer-downloaded", "agent.pull.documents",
    "agent.pull.indexed", "agent.unpack.unpacked", "agent.unpack.flushed", "agent.unpack.in-place",
    "agent.images.file-written",
)  # fmt: skip
VOLUME = (
    "agent.volume.directory", "agent.volume.draft", "agent.volume.recorded", "agent.volume.copied",
    "agent.volume.copy-named",
)  # fmt: skip
MOVED_AWAY = ("agent.volume-move.granted", "agent.volume-move.copy-deleted")
MOVE = tuple(f"agent.volume-move.{name}" for name in ("prepared", "copied", "verified", "finished", "adopted"))
CSI_MOUNT = ("agent.csi.recorded", "agent.csi.staged", "agent.csi.published")
CSI_UNMOUNT = ("agent.csi.unpublished", "agent.csi.unstaged")
RUNS: dict[str, Run] = {
    **dict.fromkeys(CSI_MOUNT, csi_mounted),
    **dict.fromkeys(CSI_UNMOUNT, csi_unmounted),
    **dict.fromkeys(START, started_service),
    **dict.fromkeys(STOP, stopped_service),
    "agent.stop.withdrawn": scaled_service,
    **dict.fromkeys(PULL, pulled_image),
    **dict.fromkeys(VOLUME, new_volume),
    "agent.volume.moved-aside": removed_volume,
    **dict.fromkeys(MOVE, moved_volume),
    **dict.fromkeys(MOVED_AWAY, moved_away),
    "agent.csi.driver-called": csi_created,
    **{f"agent.root.{name}": made_container for name in ("draft", "filled", "in-place", "durable")},
    "agent.root.removed": removed_container,
    "agent.connect.new-link": connected("--network", "none"),
    **{f"agent.connect.{name}": connected() for name in ("host-end", "container-end", "admitted", "surplus-removed")},
    "agent.commit.written": committed,
    "agent.commit.pushed": committed,
    "agent.build.layer-moved": built,
    "agent.build.cache-drafted": built,
    "agent.journal.rewritten": compacted_journal,
    "agent.journal.replaced": compacted_journal,
    **{f"agent.recover.{name}": recovered for name in ("journal", "containers", "networks", "datapath", "links")},
}
MANAGER_RUNS: dict[str, Run] = {
    **{f"manager.csi.{name}": csi_created for name in ("call-recorded", "called", "result-recorded")},
    **{f"manager.volume-move.{name}": moved_volume for name in ("offered", "copied", "home-changed", "copy-deleted")},
    "manager.collect.records-deleted": removed_volume,
    "manager.collect.container-deleted": removed_container,
}
