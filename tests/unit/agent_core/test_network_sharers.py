"""Tasks that share the network of another task of their node: what they are given, and who stops when."""

from pathlib import Path

from agent.worker.container_runtime import Running
from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task


def follower(*, desired: TaskState.ValueType = TaskState.RUNNING, task_id: str = "t2") -> Task:
    record = task(task_id, service="app", desired=desired, addresses=())
    record.network_task_id = "t1"
    return record


def revisions(*, grace_ms: int = 5_000) -> tuple[ServiceRevision, ServiceRevision]:
    own, other = revision(), revision("app", grace_ms=grace_ms)
    own.spec.task.container.hostname, own.spec.task.container.domainname = "db", "example.org"
    other.spec.task.container.command[:] = ["polite"]
    other.spec.task.networks.append(NetworkAttachment(network="service:polite"))
    return own, other


def both(provider: Task, sharer: Task) -> Assignments:
    return assign(provider, sharer, revisions=revisions())


async def started(machine: Machine, worker: Worker) -> None:
    worker.receive(assign(task("t1"), revisions=revisions()))
    await machine.until("t1", TaskState.RUNNING)
    worker.receive(both(task("t1"), follower()))
    await machine.until("t2", TaskState.RUNNING)


def test_it_has_the_namespace_the_names_and_the_files_of_the_other(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def run() -> None:
        async with machine.agent() as worker:
            await started(machine, worker)
            own, other = machine.runtime.requests["t2"], machine.runtime.requests["t1"]
            assert own.shares_network and not other.shares_network
            assert own.netns_fd is not None and own.netns_fd >= 0
            assert (own.spec.hostname, own.spec.domainname) == ("db", "example.org")
            assert own.etc_files == other.etc_files and own.etc_files["/etc/hostname"] == b"db\n"
            assert list(machine.networks.attached) == ["t1"]

    run_virtual(run())


def test_without_the_other_it_ends_by_no_fault_of_its_own(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def run() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(follower(), revisions=revisions()))
            status = await machine.until("t2", TaskState.SHUTDOWN)
            assert status.message == "stopped before it started: task t1 is not running (it shares that task's network)"

    run_virtual(run())


def test_it_stops_once_nobody_is_led_to_the_other_and_before_that_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def run() -> None:
        async with machine.agent() as worker:
            await started(machine, worker)
            stop = TaskState.SHUTDOWN
            worker.receive(both(task("t1", desired=stop, drained=False), follower(desired=stop)))
            await machine.until_true(lambda: machine.now_ms() > 3_000)
            assert not machine.runtime.signals, "clients were still led to it"
            worker.receive(both(task("t1", desired=stop), follower(desired=stop)))
            await machine.until("t1", stop)
            assert machine.runtime.signals == [("t2", "SIGTERM"), ("t1", "SIGTERM")]
            ends = [status.task_id for status in machine.reports if status.state == stop]
            assert list(dict.fromkeys(ends)) == ["t2", "t1"]

    run_virtual(run())


def test_it_stops_alone_at_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def run() -> None:
        async with machine.agent() as worker:
            await started(machine, worker)
            worker.receive(both(task("t1"), follower(desired=TaskState.SHUTDOWN)))
            await machine.until("t2", TaskState.SHUTDOWN)
            assert isinstance(machine.runtime.containers["t1"], Running)

    run_virtual(run())


def test_what_managers_do_not_stop_holds_the_other_up_for_a_while_only(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def run() -> None:
        async with machine.agent() as worker:
            await started(machine, worker)
            began = machine.now_ms()
            worker.receive(both(task("t1", desired=TaskState.SHUTDOWN), follower()))
            await machine.until("t1", TaskState.SHUTDOWN)
            assert 14_900 <= machine.now_ms() - began < 17_000  # the grace of the one that shares it, and 10 s
            assert isinstance(machine.runtime.containers["t2"], Running)

    run_virtual(run())


def test_after_a_restart_of_the_agent_the_order_is_the_same(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def run() -> None:
        async with machine.agent() as worker:
            await started(machine, worker)
        async with machine.agent() as worker:
            stop = TaskState.SHUTDOWN
            worker.receive(both(task("t1", desired=stop), follower(desired=stop)))
            await machine.until("t1", stop)
            assert machine.runtime.signals == [("t2", "SIGTERM"), ("t1", "SIGTERM")]

    run_virtual(run())


def test_its_end_leaves_the_network_of_the_other(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    async def run() -> None:
        async with machine.agent() as worker:
            await started(machine, worker)
            worker.receive(both(task("t1"), follower(desired=TaskState.REMOVE)))
            await machine.until("t2", TaskState.SHUTDOWN)
            worker.receive(assign(task("t1"), revisions=revisions()))
            await machine.until_true(lambda: "t2" not in machine.runtime.containers)
            assert list(machine.networks.attached) == ["t1"]

    run_virtual(run())


def test_a_container_that_has_joined_holds_nothing_up_and_stays(tmp_path: Path) -> None:
    """As with Docker: it keeps what is left of the namespace."""
    machine = Machine(tmp_path)
    run, joined = follower(), follower(desired=TaskState.SHUTDOWN)
    for each in (run, joined):
        each.container_id = "box"

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=revisions()))
            await machine.until("t1", TaskState.RUNNING)
            worker.receive(both(task("t1"), run))
            await machine.until("t2", TaskState.RUNNING)
            began = machine.now_ms()
            worker.receive(both(task("t1", desired=TaskState.SHUTDOWN), run))
            await machine.until("t1", TaskState.SHUTDOWN)
            assert machine.now_ms() - began < 1_000
            assert isinstance(machine.runtime.containers["t2"], Running)
            worker.receive(both(task("t1", desired=TaskState.SHUTDOWN), joined))
            await machine.until("t2", TaskState.SHUTDOWN)

    run_virtual(play())


def test_a_container_that_joins_one_that_does_not_run_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    run = follower()
    run.container_id = "box"

    async def play() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(run, revisions=revisions()))
            status = await machine.until("t2", TaskState.REJECTED)
            assert status.message.endswith("cannot join network of a non running container: task t1 is not running")

    run_virtual(play())
