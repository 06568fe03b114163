"""Health checks through the worker: what is told, who is stopped, what a restart of the agent changes. Virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.health.exec_pool import ExecResult
from agent.worker.interfaces import ImageConfig
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

STARTING, HEALTHY, UNHEALTHY = TaskStatus.STARTING, TaskStatus.HEALTHY, TaskStatus.UNHEALTHY


def checked(**given: int) -> ServiceRevision:
    record = revision("polite", grace_ms=1_000)
    container = record.spec.task.container
    container.healthcheck.CopyFrom(Healthcheck(test=["CMD", "ask"], **given))  # type: ignore[arg-type]
    return record


def on(machine: Machine, code: list[int]) -> None:
    """The check ends with the code that the list holds."""

    async def execute(task_id: str, words: tuple[str, ...]) -> ExecResult:
        return ExecResult(code[0], f"{' '.join(words)}: {code[0]}".encode())

    machine.probed.answer = execute


def play(directory: Path, scenario: Callable[[Machine], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario(Machine(directory))

    run_virtual(body())


def healths(machine: Machine) -> list[int]:
    return [status.health for status in machine.reports if status.state == TaskState.RUNNING]


def test_running_is_told_as_starting_then_healthy_with_the_line(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        code = [1]
        on(machine, code)
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(checked(),)))
            await machine.until("t1", TaskState.RUNNING)
            await asyncio.sleep(3)
            code[0] = 0
            await machine.until_true(lambda: machine.last("t1").health == HEALTHY)
        assert healths(machine) == [STARTING, STARTING, HEALTHY]
        assert machine.last("t1").health_output == "ask: 0"
        assert not machine.runtime.signals

    play(tmp_path, scenario)


def test_an_unhealthy_task_is_stopped_and_failed(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        code = [0]
        on(machine, code)
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(checked(interval_ms=1_000, retries=2),)))
            await machine.until_true(lambda: bool(machine.reports) and machine.last("t1").health == HEALTHY)
            code[0] = 7
            end = await machine.until("t1", TaskState.FAILED)
        assert (end.message, end.health, end.exit_code) == ("unhealthy: ask: 7", UNHEALTHY, 0)
        assert machine.runtime.signals == [("t1", "SIGTERM")]

    play(tmp_path, scenario)


def test_a_task_that_is_stopped_is_not_checked_any_more(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        on(machine, [0])
        async with machine.agent() as worker:
            record = checked(interval_ms=1_000)
            worker.receive(assign(task("t1"), revisions=(record,)))
            await machine.until_true(lambda: bool(machine.reports) and machine.last("t1").health == HEALTHY)
            worker.receive(assign(task("t1", desired=TaskState.SHUTDOWN), revisions=(record,)))
            end = await machine.until("t1", TaskState.SHUTDOWN)
            assert end.message == ""

    play(tmp_path, scenario)


def test_checks_go_on_after_a_restart_of_the_agent(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        code = [0]
        on(machine, code)
        record = checked(interval_ms=5_000, retries=1)
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(record,)))
            await machine.until_true(lambda: bool(machine.reports) and machine.last("t1").health == HEALTHY)
        async with machine.agent() as worker:
            assert [status.health for status in worker.statuses()] in ([], [HEALTHY])
            code[0] = 9
            assert (await machine.until("t1", TaskState.FAILED)).message == "unhealthy: ask: 9"
        assert len([s for s in machine.reports if s.state == TaskState.STARTING]) == 1

    play(tmp_path, scenario)


def test_the_images_own_check_counts_unless_it_is_switched_off(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        on(machine, [0])
        machine.images.config = ImageConfig(healthcheck=Healthcheck(test=["CMD-SHELL", "probe"]))
        off = revision("brave")
        off.spec.task.container.healthcheck.disabled = True
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), task("t2", service="brave"), revisions=(revision(), off)))
            await machine.until("t2", TaskState.RUNNING)
            await machine.until_true(lambda: any(s.health == HEALTHY for s in machine.reports))
            await asyncio.sleep(60)
        assert machine.last("t1").health_output == "/bin/sh -c probe: 0"
        assert machine.last("t2").health == TaskStatus.NONE

    play(tmp_path, scenario)
