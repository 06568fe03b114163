"""Broken hosts: users are told what to do, nothing is left over, no container is restarted for it, and all goes on by
itself once the cause is gone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.journal.frames import frame, frames
from cli.playground import daemons
from tests.integration.faults.broken_host import WrappedRuntime, filled, read_only, small_disk
from tests.integration.faults.fault_rig import BYSTANDER, FaultRig
from tests.integration.faults.run_steps import create, remove, remove_volume

pytestmark = pytest.mark.timeout(390)  # the first one starts the cluster


def node_report(rig: FaultRig) -> str:
    """What `node ls` says of h1."""
    (row,) = [row for row in rig.cluster.json("node", "ls") if row["hostname"] == "h1"]
    return f"{row}{rig.cluster.run('node', 'ls').stderr}"


def reasons(rig: FaultRig) -> str:
    return " ".join(row["reason"] for row in rig.cluster.json("service", "ps", "web"))


def expect_reason(rig: FaultRig, text: str, seconds: float = 60.0) -> None:
    """Until `service ps` gives it as the reason."""
    rig.cluster.until(lambda: text in reasons(rig), f"the reason {text!r}, not {reasons(rig)!r}", seconds=seconds)


SPARE_BYTES = 64 << 10
"""Of a small disk, beside what is on it: how much that is depends on the tests before."""

WORDS = {
    "fails": "crun could not create the container: cannot create cgroup",
    "hangs": "timed out creating the container after 60 s",
}


def test_a_runtime_that_does_not_work(mode_of_runtime: str, faults: FaultRig, runtime: WrappedRuntime) -> None:
    faults.settle()
    runtime.behave(mode_of_runtime)
    create(faults)
    expect_reason(faults, WORDS[mode_of_runtime], seconds=100)
    runtime.behave("works")
    faults.running("web")
    remove(faults, "web")
    faults.check(f"a runtime that {mode_of_runtime}")


@pytest.fixture
def runtime(faults: FaultRig) -> Iterator[WrappedRuntime]:
    """h1's agent has it for its starts."""
    made = WrappedRuntime(faults.cluster.layout.state / f"runtime-{os.urandom(4).hex()}")
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{made.directory}:{path}"
    try:
        faults.restart_agent()
    finally:
        os.environ["PATH"] = path
    yield made
    made.behave("works")
    faults.restart_agent()


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ("agent.start.overlay=raise:EPERM", "cannot start the container: Operation not permitted"),
        ("agent.start.mount-namespace=raise:ENOSPC", "waiting for disk space: cannot start the container"),
        ("agent.start.spawn=raise:EMFILE", "free memory or file descriptors"),
        ("agent.volume.directory=raise:EIO", "cannot create volume data in"),
    ],
)
def test_the_kernel_refuses(point: str, reason: str, faults: FaultRig) -> None:
    faults.settle()
    faults.arm(point)
    create(faults, "--mount", "source=data,target=/data")
    expect_reason(faults, reason)
    faults.arm("")
    faults.running("web")
    remove(faults, "web")
    remove_volume(faults)
    faults.check(point)


def test_the_journals_disk_is_full(faults: FaultRig) -> None:
    faults.settle()
    faults.cluster.playground.stop_agent(faults.host, kill=True)
    journal = faults.host.state / "journal"
    with small_disk(journal, f"size={(journal / 'records').stat().st_size + SPARE_BYTES}"):
        faults.start_agent()
        filler = filled(journal)
        create(faults, "--env", f"BIG={'x' * 8192}")  # more than what is left of the file's last page
        row = faults.running("web")
        faults.cluster.until(lambda: "cannot write the journal" in node_report(faults), "the node to say so")
        filler.unlink()
        faults.cluster.until(lambda: "cannot write the journal" not in node_report(faults), "the journal to be whole")
        faults.cluster.playground.stop_agent(faults.host, kill=True)
    faults.start_agent()
    assert faults.running("web")["id"] == row["id"], "the journal had what was written late"
    remove(faults, "web")
    faults.check("a full disk of the journal")


def test_a_state_directory_is_read_only(faults: FaultRig) -> None:
    faults.settle()
    with read_only(faults.host.state / "runtime"), read_only(faults.host.state / "journal"):
        create(faults)
        expect_reason(faults, "Read-only file system")
        faults.cluster.until(lambda: "cannot write the journal" in node_report(faults), "the node to say so")
        faults.cluster.playground.stop_agent(faults.host, kill=True)
        faults.spawn_agent()
        faults.await_death()
        assert "Read-only file system; the agent needs to write in" in faults.host.log.read_text()
    faults.start_agent()
    faults.running("web")
    faults.cluster.until(lambda: "cannot write the journal" not in node_report(faults), "the journal to be whole")
    remove(faults, "web")
    faults.check("a read-only state directory")


def last_bytes_lost(journal: Path) -> None:
    os.truncate(journal, journal.stat().st_size - 5)


def byte_flipped(journal: Path) -> None:
    """In the first record, which is not of the bystander's task."""
    data = journal.read_bytes()
    first = next(iter(frames(data)))
    assert not first[0].startswith("task/")
    journal.write_bytes(bytes([data[0], data[1], data[2] ^ 1]) + data[3:])


def emptied(journal: Path) -> None:
    journal.write_bytes(b"")


def deleted(journal: Path) -> None:
    journal.unlink()


@pytest.mark.parametrize(
    ("damage", "with_copy"),
    [(last_bytes_lost, False), (byte_flipped, False), (byte_flipped, True), (emptied, True), (deleted, True)],
)
def test_a_damaged_journal_costs_no_container(
    damage: Callable[[Path], None], with_copy: bool, faults: FaultRig
) -> None:
    faults.settle()
    faults.cluster.playground.stop_agent(faults.host, kill=True)
    journal = faults.host.state / "journal" / "records"
    before = len(faults.host.log.read_text())
    journal.write_bytes(frame("network/unused", b"") + journal.read_bytes() + frame("network/unused", bytes(20)))
    damage(journal)
    if not with_copy:
        (faults.host.run / "journal").unlink()
    faults.start_agent()
    said = faults.host.log.read_text()[before:]
    assert ("restoring" in said) == with_copy and ("is corrupt" in said or damage in (emptied, deleted))
    faults.check(damage.__name__)
    create(faults, "--publish", "mode=host,target=80,published=8088")
    faults.running("web")
    remove(faults, "web")
    faults.check(damage.__name__)


def test_an_unreadable_journal_stops_the_agent_and_no_container(faults: FaultRig) -> None:
    faults.settle()
    faults.cluster.playground.stop_agent(faults.host, kill=True)
    journal = faults.host.state / "journal" / "records"
    kept = journal.rename(journal.with_name("kept"))
    journal.mkdir()
    faults.spawn_agent()
    faults.await_death()
    assert "Is a directory; make it readable, or move it away" in faults.host.log.read_text()
    journal.rmdir()
    kept.rename(journal)
    faults.start_agent()
    faults.check("an unreadable journal")


def test_without_its_journal_and_the_copy_an_agent_replaces_its_containers(faults: FaultRig) -> None:
    faults.settle()
    before = faults.cluster.pids(BYSTANDER)
    faults.cluster.playground.stop_agent(faults.host, kill=True)
    (faults.host.state / "journal" / "records").write_bytes(b"")
    (faults.host.run / "journal").unlink()
    faults.start_agent()
    after = faults.cluster.until(
        lambda: (now := faults.cluster.pids(BYSTANDER)) and now != before and now, "the container to be replaced"
    )
    assert len(after) == 1
    assert "not in the journal" in faults.host.log.read_text()
    faults.cluster.until(lambda: not any(map(daemons.is_running, before.values())), "the old one to be gone")
    create(faults)
    faults.running("web")
    remove(faults, "web")
