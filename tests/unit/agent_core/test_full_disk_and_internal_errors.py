"""A full disk, and errors that nobody foresaw: neither stops what managers say, nor the tasks beside the one."""

import asyncio
import errno
import logging
from pathlib import Path

import pytest

from agent.disk_full import DiskFull, is_disk_full, says_disk_full
from agent.host.inspection import resolv_conf
from agent.journal.journal import Journal
from agent.runtime.container_paths import ContainerPaths
from agent.runtime.launch.start_errors import start_error
from agent.worker.shared.disk_space_waiter import WAIT_SECONDS
from agent.worker.shared.journal_writer import RETRY_SECONDS
from agent.worker.worker import GC_SECONDS
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import Exhausted, Unavailable
from tests.fakes.full_disk_journal import JournalOnSmallDisk
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, task

S = TaskState


class SmallDisk(Machine):
    """A host whose journal can be told that its disk is full."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.small = JournalOnSmallDisk(directory / "journal")

    def journal(self) -> Journal:
        return self.small


def test_with_a_full_disk_what_managers_say_is_done_and_written_once_there_is_room(tmp_path: Path) -> None:
    machine = SmallDisk(tmp_path)

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), task("t2")))
            await machine.until("t2", S.RUNNING)
            machine.small.full = True
            restored = assign(task("t2", desired=S.SHUTDOWN), task("t3"))
            restored.epoch = "another"
            worker.receive(restored)
            await machine.until("t3", S.RUNNING)
            await machine.until("t2", S.SHUTDOWN)
            await machine.until_true(lambda: not worker.knows("t1"))
            worker.receive(Assignments(removed_networks=["net"]))
            await machine.until_true(lambda: machine.networks.applied[-1][0] == [])
            assert machine.runtime.containers.keys() == {"t3"}
            assert machine.of_disk == ["cannot write the journal: No space left on device"], "told once"
            await asyncio.sleep(2 * GC_SECONDS)
            assert machine.images.collected, "images are looked through with a full disk too"
            machine.small.full = False
            await machine.until_true(lambda: machine.of_disk[-1] == "")
            await asyncio.sleep(2 * RETRY_SECONDS)
            kept = Journal(tmp_path / "journal").load()
            assert kept.entries.keys() == {"t2", "t3"} and kept.assigned.networks == {}
            assert kept.assigned.epoch == "another"
            assert (kept.entries["t2"].status.state, kept.entries["t3"].status.state) == (S.SHUTDOWN, S.RUNNING)

    run_virtual(play())


@pytest.mark.parametrize("policy", [RestartPolicy(condition=RestartPolicy.NONE), RestartPolicy(max_attempts=2)])
def test_a_task_without_room_for_its_image_starts_once_there_is_some(tmp_path: Path, policy: RestartPolicy) -> None:
    """The node tells why; the registry is not asked while nothing has become free, whatever the time."""
    machine = Machine(tmp_path)
    images = machine.images
    images.errors["hello:1"] = Exhausted("the disk is too full: free some space on /images")
    images.lacks_space = True
    waiting = assign(task("t1"))
    for each in waiting.revisions:
        each.spec.task.restart.CopyFrom(policy)

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(waiting)
            await machine.until_true(lambda: bool(machine.of_images_disk))
            await asyncio.sleep(3600)
            status = machine.last("t1")
            assert (status.state, status.message) == (
                S.PREPARING,
                "waiting for disk space: the disk is too full: free some space on /images",
            )
            assert machine.of_images_disk == [
                "the disk is too full: free some space on /images; waiting tasks start automatically"
            ]
            assert images.asked == 1
            images.lacks_space = False
            images.errors.clear()
            await machine.until("t1", S.RUNNING)
            assert machine.of_images_disk[1:] == [""]

    run_virtual(play())


def test_a_task_that_may_go_elsewhere_waits_for_room_for_a_minute(tmp_path: Path) -> None:
    """A disk that fills again as soon as it is tried is tried ever more slowly."""
    machine = Machine(tmp_path)
    machine.images.errors["hello:1"] = Exhausted("too full")

    async def play() -> None:
        async with machine.agent() as worker:
            begun = asyncio.get_running_loop().time()
            worker.receive(assign(task("t1")))
            assert (await machine.until("t1", S.REJECTED)).message == "too full"
            assert WAIT_SECONDS <= asyncio.get_running_loop().time() - begun < WAIT_SECONDS + 5
            assert machine.images.asked < 10
            assert machine.of_images_disk[-1] == ""

    run_virtual(play())


def test_images_are_collected_while_a_task_waits_for_its_own(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.images.held.clear()

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1")))
            await machine.until("t1", S.PREPARING)
            await machine.until_true(lambda: len(machine.images.collected) > 1)

    run_virtual(play())


def test_an_error_that_nobody_foresaw_rejects_the_one_task(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(tmp_path)
    machine.images.errors["hello:1"] = ZeroDivisionError("by zero")

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1")))
            status = await machine.until("t1", S.REJECTED)
            assert status.message == "internal error (see the agent's log): ZeroDivisionError: by zero"
            machine.images.errors.clear()
            machine.runtime.start_error = RuntimeError("odd")
            worker.receive(assign(task("t2"), snapshot=False))
            assert "RuntimeError: odd" in (await machine.until("t2", S.REJECTED)).message
            machine.runtime.start_error = None
            worker.receive(assign(task("t3"), snapshot=False))
            await machine.until("t3", S.RUNNING)

    run_virtual(play())
    reported = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[0] for record in reported] == [ZeroDivisionError, RuntimeError]


def test_what_cannot_be_removed_for_a_fault_is_tried_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), task("t2")))
            await machine.until("t2", S.RUNNING)
            machine.runtime.remove_error = OSError("odd")
            worker.receive(assign(task("t2")))
            await machine.until("t1", S.SHUTDOWN)
            await asyncio.sleep(10)
            assert machine.last("t2").state == S.RUNNING and "t1" in machine.runtime.containers
            machine.runtime.remove_error = None
            await machine.until_true(lambda: not worker.knows("t1"))

    run_virtual(play())


def test_a_host_that_does_not_say_how_it_resolves_names(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    assert resolv_conf(path) == ""
    path.symlink_to(tmp_path / "stub")
    assert resolv_conf(path) == ""
    path.unlink()
    path.write_bytes("# Büro\nnameserver 192.0.2.1\n".encode("latin-1"))
    assert resolv_conf(path).splitlines()[1:] == ["nameserver 192.0.2.1"]
    path.unlink()
    path.mkdir()
    assert resolv_conf(path) == ""


@pytest.mark.parametrize("policy", [RestartPolicy(condition=RestartPolicy.NONE), RestartPolicy(max_attempts=2)])
def test_a_container_without_room_starts_once_there_is_some(tmp_path: Path, policy: RestartPolicy) -> None:
    """It waits as long as that takes, in the state that it has come to, and is tried only when there may be room."""
    machine = Machine(tmp_path)
    machine.runtime.start_error = DiskFull("the disk is full; free disk space")
    machine.lacks_space = True
    waiting = assign(task("t1"))
    for each in waiting.revisions:
        each.spec.task.restart.CopyFrom(policy)

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(waiting)
            await machine.until_true(lambda: bool(machine.of_containers_disk))
            await asyncio.sleep(3600)
            status = machine.last("t1")
            assert (status.state, status.message) == (
                S.STARTING,
                "waiting for disk space: the disk is full; free disk space",
            )
            assert machine.of_containers_disk == [
                "the disk is full; free disk space; waiting tasks start automatically"
            ]
            assert machine.runtime.starts_tried == 1
            machine.lacks_space, machine.runtime.start_error = False, None
            await machine.until("t1", S.RUNNING)
            assert machine.of_containers_disk[1:] == [""]
            assert S.REJECTED not in machine.states("t1")

    run_virtual(play())


def test_a_container_that_may_go_elsewhere_waits_for_room_for_a_minute(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.runtime.start_error = DiskFull("too full")

    async def play() -> None:
        async with machine.agent() as worker:
            begun = asyncio.get_running_loop().time()
            worker.receive(assign(task("t1")))
            assert (await machine.until("t1", S.REJECTED)).message == "too full"
            assert WAIT_SECONDS <= asyncio.get_running_loop().time() - begun < WAIT_SECONDS + 5
            assert machine.runtime.starts_tried < 12
            assert machine.of_containers_disk[-1] == ""

    run_virtual(play())


def test_a_task_that_is_stopped_while_it_waits_for_room_stops_at_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.runtime.start_error = DiskFull("too full")
    machine.lacks_space = True

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1")))
            await machine.until_true(lambda: bool(machine.of_containers_disk))
            begun = asyncio.get_running_loop().time()
            worker.receive(assign(task("t1", desired=S.SHUTDOWN)))
            assert (await machine.until("t1", S.SHUTDOWN)).message == "stopped before it started"
            assert asyncio.get_running_loop().time() - begun < 1
            assert machine.of_containers_disk[-1] == ""
            assert S.REJECTED not in machine.states("t1")

    run_virtual(play())


def test_what_the_kernel_refuses_for_other_reasons_is_no_full_disk() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/var/lib/shoal/upper/1/t1")
    quota = OSError(errno.EDQUOT, "Disk quota exceeded")
    cpuset = OSError(errno.ENOSPC, "No space left on device", "/sys/fs/cgroup/cpuset/shoal/cgroup.procs")
    assert [is_disk_full(each) for each in (full, quota, cpuset)] == [True, True, False]
    assert says_disk_full("crun could not create the container: mkdir `/x`: No space left on device")
    assert not says_disk_full("write to `/sys/fs/cgroup/cpuset/t1/cgroup.procs`: No space left on device")


def test_a_limit_on_namespaces_is_no_full_disk(tmp_path: Path) -> None:
    said = Unavailable("crun could not create the container: clone: No space left on device")
    assert not says_disk_full(str(said))
    shown = start_error(said, None, ContainerPaths(run=tmp_path, state=tmp_path))
    assert type(shown) is Unavailable
    assert str(shown) == f"{said}; raise the limits user.max_*_namespaces with `sysctl`"
