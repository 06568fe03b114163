"""One way to come by each fault point of the agent, and of the leader's controllers: what is there before, what is
asked for, and how it has to end.

Each ends with h1 as it was before, so that the test can compare.
"""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from agent.journal.frames import frame
from tests.integration.cluster.harness import inside
from tests.integration.faults.fault_rig import HELLO, FaultRig
from tests.integration.faults.restart_runs import dropped_end, ended_with_manager, restarted_by_node
from tests.integration.faults.run_steps import (
    Act,
    Run,
    container,
    create,
    gone,
    in_host,
    process_of,
    remove,
    remove_container,
    run_container,
    state,
)
from tests.integration.faults.volume_runs import (
    csi_created,
    csi_mounted,
    csi_unmounted,
    moved_away,
    moved_volume,
    new_volume,
    removed_volume,
)


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

    def is_removed() -> bool:
        """The call may have failed; what it has begun goes on."""
        if state(rig):
            rig.cluster.run("rm", "-f", "c")
        return not state(rig)

    rig.cluster.until(is_removed, "the container to be removed")


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
RESTART = tuple(f"agent.restart.{name}" for name in ("held", "decided", "running"))
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
    **dict.fromkeys(RESTART, restarted_by_node),
    "agent.restart.offered": ended_with_manager,
    "agent.restart.withdrawn": dropped_end,
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
