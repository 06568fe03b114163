"""Networks of builds: tasks without a container, which end with their build."""

import asyncio
import os
from pathlib import Path

import pytest

from agent.worker.shared.build_sandboxes import UNUSED_SECONDS
from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.errors import NotFound
from tests.unit.agent_core.containers.kept_rig import S, machine_with_image, networked, order, scenario
from tests.unit.agent_core.worker_rig import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with_image(tmp_path)


def network_of_a_build(desired: "S.ValueType" = S.RUNNING) -> Assignments:
    made, template = networked(1, "10.0.0.7")
    made.desired_state = desired
    template.spec.task.build_id, template.spec.task.container.image = "b1", "scratch"
    message = order(made)
    message.networks.add(network_id="net0", name="front", subnet="10.0.0.0/24")
    del message.revisions[:]
    message.revisions.append(template)
    return message


def test_it_runs_without_an_image_until_its_build_has_ended(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(network_of_a_build())
        await machine.until("r1", S.RUNNING)
        worker.build_sandboxes.use("r1")
        await asyncio.sleep(2 * UNUSED_SECONDS)
        opened = worker.build_sandboxes.open("r1")
        assert opened.addresses == {"net0": "10.0.0.7"}
        os.close(opened.netns_fd)
        assert (machine.last("r1").state, machine.runtime.requests, machine.images.asked) == (S.RUNNING, {}, 0)
        assert worker.build_sandboxes.end("r1")
        await machine.until("r1", S.COMPLETE)
        assert "r1" not in machine.networks.attached
        assert not worker.build_sandboxes.end("r1")
        with pytest.raises(NotFound):
            worker.build_sandboxes.open("r1")

    scenario(machine, play)


def test_one_whose_build_never_comes_ends_by_itself(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(network_of_a_build())
        await machine.until("r1", S.RUNNING)
        await asyncio.sleep(UNUSED_SECONDS - 1)
        assert machine.last("r1").state == S.RUNNING
        await machine.until("r1", S.COMPLETE)

    scenario(machine, play)


def test_it_is_stopped_at_once_and_lost_with_its_agent(machine: Machine) -> None:
    async def stopped(worker: Worker) -> None:
        worker.receive(network_of_a_build())
        await machine.until("r1", S.RUNNING)
        worker.receive(network_of_a_build(S.SHUTDOWN))
        await machine.until("r1", S.SHUTDOWN)

    scenario(machine, stopped)
    other = machine_with_image(machine.directory / "other")

    async def runs(worker: Worker) -> None:
        worker.receive(network_of_a_build())
        await other.until("r1", S.RUNNING)

    async def after_a_restart(worker: Worker) -> None:
        await other.until("r1", S.FAILED)
        assert "r1" not in other.networks.attached
        del worker

    scenario(other, runs, after_a_restart)
