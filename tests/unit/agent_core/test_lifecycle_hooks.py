"""Hooks of tasks: after the start, and before the stop signal."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from shoal.api.v1.container_pb2 import Hook
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

S = TaskState


def with_hooks(
    *, post_start: Sequence[str] = (), pre_stop: Sequence[str] = (), grace_ms: int = 5_000
) -> ServiceRevision:
    made = revision(grace_ms=grace_ms)
    made.spec.task.container.post_start.extend(Hook(command=words.split()) for words in post_start)
    made.spec.task.container.pre_stop.extend(Hook(command=words.split()) for words in pre_stop)
    return made


def test_a_task_runs_once_its_hooks_are_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine, made = Machine(tmp_path), with_hooks(post_start=("seed all", "announce"), pre_stop=("save",))
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(made,)))
            await machine.until("t1", S.RUNNING)
            assert [words for _, words in machine.runtime.hooks] == [("seed", "all"), ("announce",)]
            reported = [status.message for status in machine.reports if status.state == S.STARTING]
            assert reported[1:] == ["running post_start hook 1 of 2", "running post_start hook 2 of 2"]
            assert machine.runtime.signals == []
            worker.receive(assign(task("t1", desired=S.SHUTDOWN), revisions=(made,)))
            ended = await machine.until("t1", S.SHUTDOWN)
            assert machine.runtime.hooks[-1] == ("t1", ("save",))
            assert (ended.warning, machine.runtime.signals) == ("", [("t1", "SIGTERM")])

    run_virtual(scenario())


def test_a_hook_after_the_start_that_fails_ends_the_task(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine = Machine(tmp_path)
        made = with_hooks(post_start=("exit 3", "never"), pre_stop=("save",))
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(made,)))
            ended = await machine.until("t1", S.FAILED)
            assert ended.message == "post_start hook 1 (exit): exit code 3: its last words"
            assert S.RUNNING not in machine.states("t1")
            assert [words for _, words in machine.runtime.hooks] == [("exit", "3")]

    run_virtual(scenario())


def test_hooks_before_the_stop_have_the_grace_and_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine, made = Machine(tmp_path), with_hooks(pre_stop=("exit 1", "hang"), grace_ms=4_000)
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(made,)))
            await machine.until("t1", S.RUNNING)
            began = asyncio.get_running_loop().time()
            worker.receive(assign(task("t1", desired=S.SHUTDOWN), revisions=(made,)))
            ended = await machine.until("t1", S.SHUTDOWN)
            assert 4 <= asyncio.get_running_loop().time() - began < 5
            assert ended.warning == "pre_stop hook 2 (hang): timed out after 4 s and was killed"
            assert machine.runtime.signals[0] == ("t1", "SIGTERM")

    run_virtual(scenario())


def test_a_task_that_is_to_stop_does_not_wait_for_its_hooks(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine, made = Machine(tmp_path), with_hooks(post_start=("hang",))
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(made,)))
            await machine.until_true(lambda: bool(machine.runtime.hooks))
            worker.receive(assign(task("t1", desired=S.SHUTDOWN), revisions=(made,)))
            await machine.until("t1", S.SHUTDOWN)
            assert S.RUNNING not in machine.states("t1")

    run_virtual(scenario())


def test_a_container_that_ends_meanwhile_is_told_by_its_own_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine, made = Machine(tmp_path), with_hooks(post_start=("hang",))
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(made,)))
            await machine.until_true(lambda: bool(machine.runtime.hooks))
            machine.runtime.end("t1", 9)
            assert (await machine.until("t1", S.FAILED)).message == "exit code 9"

    run_virtual(scenario())


def test_an_agent_that_follows_runs_them_again_and_not_for_a_task_that_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine, made = Machine(tmp_path), with_hooks(post_start=("hang",))
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(made,)))
            await machine.until_true(lambda: bool(machine.runtime.hooks))
        machine.runtime.hooks_hang = False
        for _ in range(2):
            async with machine.agent() as worker:
                worker.receive(assign(task("t1"), revisions=(made,)))
                await machine.until("t1", S.RUNNING)
        assert len(machine.runtime.hooks) == 2

    run_virtual(scenario())
