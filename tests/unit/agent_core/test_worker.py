"""The worker on fakes, in virtual time: starts, ends, stops, and what a restart finds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.journal.frames import frame
from agent.journal.journal import Journal
from agent.worker.container_runtime import Running
from agent.worker.interfaces import ImageConfig
from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import NotFound, Refused, Unavailable
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

S = TaskState


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def scenario(machine: Machine, play: Callable[[Worker], Awaitable[None]]) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await play(worker)

    run_virtual(run())


def test_a_task_runs_after_its_network_is_there(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1")))
        status = await machine.until("t1", S.RUNNING)
        assert machine.states("t1") == [S.ACCEPTED, S.PREPARING, S.STARTING, S.RUNNING]
        assert status.image_digest == "sha256:hello:1" and status.pid and status.running_at_ms
        assert [each.network_id for each in machine.networks.applied[-1][0]] == ["net"]
        request = machine.runtime.requests["t1"]
        assert request.name == "polite.1.t1"
        assert b"10.0.0.7\tpolite-1-t1" in request.etc_files["/etc/hosts"]

    scenario(machine, play)


@pytest.mark.parametrize(
    ("command", "state", "message", "code"),
    [("brief", S.COMPLETE, "", 0), ("fails", S.FAILED, "exit code 3", 3)],
)
def test_a_program_that_ends(
    machine: Machine, command: str, state: TaskState.ValueType, message: str, code: int
) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1", service=command)))
        status = await machine.until("t1", state)
        assert (status.message, status.exit_code) == (message, code)
        await machine.until_true(lambda: "t1" in machine.runtime.logs_kept)
        assert not machine.networks.attached and not machine.runtime.containers

    scenario(machine, play)


def test_out_of_memory_is_told(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1")))
        await machine.until("t1", S.RUNNING)
        machine.runtime.end("t1", 137, oom_killed=True)
        status = await machine.until("t1", S.FAILED)
        assert status.message == "out of memory (limit 64 MiB)" and status.oom_killed

    scenario(machine, play)


def test_an_image_that_is_not_there_rejects_the_task(machine: Machine) -> None:
    machine.images.errors["hello:1"] = NotFound("no image hello:1 in the registry")

    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1")))
        assert (await machine.until("t1", S.REJECTED)).message == "no image hello:1 in the registry"

    scenario(machine, play)


def test_a_program_or_a_port_that_is_not_there_rejects_the_task_and_leaves_nothing(machine: Machine) -> None:
    machine.networks.errors["t2"] = Refused("port 80 is taken on this host")

    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1", service="missing"), task("t2")))
        assert "no such file" in (await machine.until("t1", S.REJECTED)).message
        assert (await machine.until("t2", S.REJECTED)).message == "port 80 is taken on this host"
        assert not machine.networks.attached

    scenario(machine, play)


def test_stop_is_by_signal_and_the_log_stays_until_the_task_is_gone(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        quits = (revision(stop_signal="SIGQUIT"),)
        worker.receive(assign(task("t1"), revisions=quits))
        await machine.until("t1", S.RUNNING)
        worker.receive(assign(task("t1", desired=S.SHUTDOWN), revisions=quits, snapshot=False))
        status = await machine.until("t1", S.SHUTDOWN)
        assert status.exit_code == 7 and machine.runtime.signals == [("t1", "SIGQUIT")]
        await machine.until_true(lambda: "t1" in machine.runtime.logs_kept)
        worker.receive(Assignments(removed_tasks=["t1"]))
        await machine.until_true(lambda: not worker.knows("t1"))
        assert not machine.runtime.logs_kept

    scenario(machine, play)


def test_an_image_whose_stop_signal_is_none_gets_sigterm_and_that_is_told(machine: Machine) -> None:
    machine.images.config = ImageConfig(command=("/serve",), stop_signal="SIGFOO")

    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1")))
        status = await machine.until("t1", S.RUNNING)
        assert status.warning == "unknown stop signal 'SIGFOO' in the image; using SIGTERM"
        worker.receive(assign(task("t1", desired=S.SHUTDOWN)))
        await machine.until("t1", S.SHUTDOWN)
        assert machine.runtime.signals == [("t1", "SIGTERM")]

    scenario(machine, play)


def test_the_stop_signal_of_an_image_is_sent_as_it_names_it(machine: Machine) -> None:
    machine.images.config = ImageConfig(command=("/serve",), stop_signal="SIGRTMIN+3")

    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1")))
        assert not (await machine.until("t1", S.RUNNING)).warning
        worker.receive(assign(task("t1", desired=S.SHUTDOWN)))
        await machine.until("t1", S.SHUTDOWN)
        assert machine.runtime.signals[0] == ("t1", "SIGRTMIN+3")

    scenario(machine, play)


def test_what_ignores_the_signal_is_killed_after_the_grace(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1", service="deaf")))
        await machine.until("t1", S.RUNNING)
        begin = asyncio.get_running_loop().time()
        worker.receive(assign(task("t1", service="deaf", desired=S.SHUTDOWN), snapshot=False))
        status = await machine.until("t1", S.SHUTDOWN)
        assert status.exit_code == 137
        assert 5.0 <= asyncio.get_running_loop().time() - begin < 5.5
        assert machine.runtime.signals == [("t1", "SIGTERM"), ("t1", "SIGKILL")]

    scenario(machine, play)


def test_a_task_that_is_absent_from_a_snapshot_is_stopped_and_forgotten(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1"), task("t2")))
        await machine.until("t1", S.RUNNING)
        await machine.until("t2", S.RUNNING)
        worker.receive(assign(task("t2")))
        await machine.until_true(lambda: not worker.knows("t1"))
        assert set(machine.runtime.containers) == {"t2"}
        assert set(Journal(machine.directory / "journal").load().entries) == {"t2"}

    scenario(machine, play)


def test_a_pull_is_given_up_when_the_task_is_not_wanted_any_more(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        machine.images.held.clear()
        worker.receive(assign(task("t1")))
        await machine.until("t1", S.PREPARING)
        worker.receive(assign(task("t1", desired=S.SHUTDOWN), snapshot=False))
        assert (await machine.until("t1", S.SHUTDOWN)).message == "stopped before it started"

    scenario(machine, play)


def test_a_datapath_that_is_refused_is_tried_again_and_the_start_waits(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        machine.networks.apply_error = Unavailable("the kernel refused")
        worker.receive(assign(task("t1")))
        await asyncio.sleep(3)
        assert "t1" not in machine.runtime.containers
        machine.networks.apply_error = None
        await machine.until("t1", S.RUNNING)

    scenario(machine, play)


def test_containers_survive_the_agent_and_are_adopted(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), task("t2"), task("t3")))
            for each in ("t1", "t2", "t3"):
                await machine.until(each, S.RUNNING)
        before = machine.runtime.containers["t1"]
        machine.runtime.end("t2", 3)
        machine.runtime.containers.pop("t3")
        machine.runtime.containers["stranger"] = Running(1, 1)
        machine.reports.clear()
        async with machine.agent() as worker:
            assert (await machine.until("t2", S.FAILED)).message == "exit code 3"
            assert "lost" in (await machine.until("t3", S.FAILED)).message
            assert machine.runtime.containers["t1"] == before
            assert machine.networks.recovered == ["t1"]
            assert "stranger" not in machine.runtime.containers
            await machine.until_true(lambda: len(worker.statuses()) == 3)
            worker.receive(assign(task("t1", desired=S.SHUTDOWN), task("t2"), task("t3")))
            assert (await machine.until("t1", S.SHUTDOWN)).exit_code == 0

    run_virtual(run())


def test_a_container_that_cannot_be_removed_keeps_no_other_from_being_recovered(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1")))
            await machine.until("t1", S.RUNNING)
        machine.runtime.containers["stranger"] = Running(1, 1)
        machine.runtime.remove_error = Unavailable("task stranger: could not kill processes [7]")
        async with machine.agent() as worker:
            await machine.until_true(lambda: worker.knows("t1"))
            assert machine.runtime.containers.keys() == {"t1", "stranger"}
            machine.runtime.remove_error = None
            await machine.until_true(lambda: machine.runtime.containers.keys() == {"t1"})

    run_virtual(run())


def test_a_container_that_exits_while_the_agent_recovers_is_reported(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1")))
            await machine.until("t1", S.RUNNING)
        machine.networks.while_recovering = lambda: machine.runtime.end("t1", 3)
        async with machine.agent():
            assert (await machine.until("t1", S.FAILED)).exit_code == 3

    run_virtual(run())


def test_an_ended_task_whose_journal_was_lost_does_not_run_again(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        ended = task("t1")
        ended.state = S.COMPLETE
        worker.receive(assign(ended, task("t2")))
        await machine.until("t2", S.RUNNING)
        assert set(machine.runtime.containers) == {"t2"}
        assert machine.states("t1") == []

    scenario(machine, play)


def test_a_damaged_journal_entry_is_dropped(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    records = machine.directory / "journal" / "records"
    records.parent.mkdir()
    records.write_bytes(frame("task/t1", b"\xff\xff") + frame("task/t2", b"half of it")[:-3])

    async def play(worker: Worker) -> None:
        worker.receive(assign(task("t1")))
        await machine.until("t1", S.RUNNING)

    scenario(machine, play)
    assert caplog.text.count("is corrupt") == 2
