"""Many tasks at once: the first container starts while the network of the others is still being made ready."""

import asyncio
from pathlib import Path

from agent.worker.sandbox import ORDINARY, NetworkOptions, Sandbox
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.networks import FakeNetworks
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, task

ATTACH_SECONDS = 1.0


class SlowNetworks(FakeNetworks):
    """Each attachment takes its time; several may be under way."""

    async def attach(self, task: Task, options: NetworkOptions = ORDINARY) -> Sandbox:
        await asyncio.sleep(ATTACH_SECONDS)
        return await super().attach(task, options)


def test_the_first_of_many_starts_before_the_last_is_attached(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.networks = SlowNetworks()

    async def run() -> None:
        now = asyncio.get_running_loop().time
        async with machine.agent() as worker:
            begin = now()
            worker.receive(assign(*(task(f"t{number}") for number in range(40))))
            await machine.until("t0", TaskState.RUNNING)
            assert now() - begin < ATTACH_SECONDS * 2
            await machine.until("t39", TaskState.RUNNING)
            assert machine.runtime.expected_starts == 40

    run_virtual(run())
