"""Tasks on a node that reaches no manager: kept, or stopped by the node itself after a time. In virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.worker.worker import Worker
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

S = TaskState
ALLOWED_SECONDS = 30


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def scenario(machine: Machine, play: Callable[[Worker], Awaitable[None]]) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await play(worker)

    run_virtual(run())


def bounded(service: str = "polite") -> ServiceRevision:
    made = revision(service)
    made.spec.task.stop_on_disconnect_ms = ALLOWED_SECONDS * 1000
    return made


async def both_run(machine: Machine, worker: Worker) -> None:
    """One task that is to be kept, and one that is not; a manager is in reach."""
    worker.set_connected(True)
    worker.receive(
        assign(task("kept", service="brieflong"), task("bounded"), revisions=(revision("brieflong"), bounded()))
    )
    await machine.until("kept", S.RUNNING)
    await machine.until("bounded", S.RUNNING)


def test_what_is_bounded_is_stopped_and_the_others_run_on(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await both_run(machine, worker)
        await asyncio.sleep(10 * ALLOWED_SECONDS)
        assert machine.last("bounded").state == S.RUNNING  # a manager was in reach
        worker.set_connected(False)
        await asyncio.sleep(ALLOWED_SECONDS - 2)
        assert machine.last("bounded").state == S.RUNNING
        status = await machine.until("bounded", S.SHUTDOWN)
        assert status.message == "stopped: its node had no connection to a manager for 30 s"
        await asyncio.sleep(100 * ALLOWED_SECONDS)
        assert machine.last("kept").state == S.RUNNING

    scenario(machine, play)


def test_a_manager_that_comes_back_in_time_begins_the_time_anew(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await both_run(machine, worker)
        for _ in range(5):
            worker.set_connected(False)
            worker.set_connected(False)  # each failed attempt tells so
            await asyncio.sleep(ALLOWED_SECONDS - 2)
            worker.set_connected(True)
        assert machine.last("bounded").state == S.RUNNING

    scenario(machine, play)


def test_attempts_that_fail_do_not_begin_the_time_anew(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await both_run(machine, worker)
        for _ in range(ALLOWED_SECONDS + 5):
            worker.set_connected(False)
            await asyncio.sleep(1)
        assert machine.last("bounded").state == S.SHUTDOWN

    scenario(machine, play)


def test_it_is_not_started_again_by_the_manager_that_wanted_it_before(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await both_run(machine, worker)
        worker.set_connected(False)
        await machine.until("bounded", S.SHUTDOWN)
        worker.set_connected(True)
        worker.receive(
            assign(task("kept", service="brieflong"), task("bounded"), revisions=(revision("brieflong"), bounded()))
        )
        await asyncio.sleep(60)
        assert machine.last("bounded").state == S.SHUTDOWN
        assert machine.states("bounded")[-1] == S.SHUTDOWN
        worker.receive(assign(task("new"), revisions=(bounded(),), snapshot=False))
        await machine.until("new", S.RUNNING)

    scenario(machine, play)


def test_an_agent_that_begins_without_a_manager_counts_from_its_beginning(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await both_run(machine, worker)
        async with machine.agent(connected=False):
            await asyncio.sleep(ALLOWED_SECONDS - 5)
            assert machine.last("bounded").state == S.RUNNING
            await machine.until("bounded", S.SHUTDOWN)

    run_virtual(run())


def test_clients_are_not_waited_for_that_no_node_can_tell_of(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.set_connected(True)
        record = task("bounded", ports=(8080,))
        worker.receive(assign(record, revisions=(bounded(),)))
        await machine.until("bounded", S.RUNNING)
        worker.set_connected(False)
        await asyncio.sleep(ALLOWED_SECONDS + 3)
        assert machine.last("bounded").state == S.SHUTDOWN

    scenario(machine, play)
