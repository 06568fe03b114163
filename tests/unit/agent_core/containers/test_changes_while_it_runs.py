"""What reaches a container that runs: its stop and how, a pause, limits and networks."""

import asyncio
import errno
from pathlib import Path

import pytest

from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.standalone_pb2 import ContainerStop
from shoal.api.v1.task_pb2 import Task
from shoal.errors import NotFound, Refused, Unavailable
from tests.unit.agent_core.containers.kept_rig import (
    BOX,
    S,
    machine_with_image,
    networked,
    order,
    run_of,
    scenario,
    settle,
)
from tests.unit.agent_core.worker_rig import Machine, assign, revision


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with_image(tmp_path)


def test_the_order_to_stop_says_how(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(order(run_of("r1"), run_of("r2", container="two"), containers=(BOX, "two")))
        await machine.until("r1", S.RUNNING)
        await machine.until("r2", S.RUNNING)
        stopped = run_of("r1", desired=S.SHUTDOWN)
        stopped.stop.CopyFrom(ContainerStop(signal="SIGQUIT"))
        patient = run_of("r2", desired=S.SHUTDOWN, container="two")
        patient.stop.CopyFrom(ContainerStop(signal="SIGHUP", grace_ms=-1))
        worker.receive(order(stopped, patient, containers=(BOX, "two")))
        assert (await machine.until("r1", S.SHUTDOWN)).exit_code == 7
        await asyncio.sleep(3600)
        assert machine.last("r2").state == S.RUNNING
        assert machine.runtime.signals == [("r1", "SIGQUIT"), ("r2", "SIGHUP")]
        patient.stop.grace_ms = 0  # a second order, by someone who does not wait
        worker.receive(order(patient, containers=("two",)))
        assert (await machine.until("r2", S.SHUTDOWN)).exit_code == 137

    scenario(machine, play)


def test_a_paused_container_is_reported_and_not_probed(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(order(run_of("r1")))
        await machine.until("r1", S.RUNNING)
        with pytest.raises(NotFound):
            await worker.set_paused("r2", True)
        await worker.set_paused("r1", True)
        assert machine.last("r1").paused
        with pytest.raises(Refused):
            await worker.set_paused("r1", True)
        await worker.set_paused("r1", False)
        assert not machine.last("r1").paused
        await worker.set_paused("r1", True)
        await worker.signal("r1", "SIGHUP")
        assert not machine.last("r1").paused, "it continues, to handle the signal"
        await worker.set_paused("r1", True)

    async def after_a_restart(worker: Worker) -> None:
        assert machine.last("r1").paused
        machine.runtime.paused.discard("r1")  # while no agent was there to see it
        await settle()
        assert not machine.last("r1").paused
        await worker.set_paused("r1", True)
        worker.receive(order(run_of("r1", desired=S.SHUTDOWN)))
        status = await machine.until("r1", S.SHUTDOWN)
        assert status.exit_code == 0 and not status.paused

    scenario(machine, play, after_a_restart)


def test_its_own_stop_signal_may_be_sent(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(order(run_of("r1")))
        await machine.until("r1", S.RUNNING)
        await worker.signal("r1", "SIGHUP")
        await worker.signal("r1", "")
        assert machine.runtime.signals == [("r1", "SIGHUP"), ("r1", "SIGTERM")]

    scenario(machine, play)


def test_new_limits_reach_a_running_container(machine: Machine) -> None:
    def limited(number: int, memory: int) -> tuple[Task, ServiceRevision]:
        made, template = run_of("r1"), revision()
        made.revision = template.number = number
        template.spec.task.limits.memory_bytes = memory
        return made, template

    def receive(worker: Worker, number: int, memory: int) -> None:
        made, template = limited(number, memory)
        message = assign(made, revisions=(template,))
        message.containers.append(BOX)
        message.lists_containers = True
        worker.receive(message)

    async def play(worker: Worker) -> None:
        receive(worker, 1, 64 << 20)
        await machine.until("r1", S.RUNNING)
        receive(worker, 2, 64 << 20)
        await settle()
        assert machine.runtime.limits == [], "another revision with the same limits"
        receive(worker, 3, 128 << 20)
        await settle()
        assert machine.runtime.limits == [("r1", 128 << 20)]
        machine.runtime.limits_error = Unavailable("the kernel refused")
        receive(worker, 4, 1 << 20)
        await settle()
        assert machine.last("r1").warning == "the kernel refused" and machine.last("r1").state == S.RUNNING
        machine.runtime.limits_error = OSError(errno.ENOSPC, "No space left on device")
        receive(worker, 5, 1 << 21)
        await settle()
        assert "No space left" in machine.last("r1").warning and machine.last("r1").state == S.RUNNING
        machine.runtime.limits_error = None

    async def after_a_restart(worker: Worker) -> None:
        del worker
        await settle()
        assert machine.runtime.limits == [("r1", 128 << 20), ("r1", 1 << 21)], "set once more, it may be missing"

    scenario(machine, play, after_a_restart)


def test_new_networks_reach_a_running_container(machine: Machine) -> None:
    def receive(worker: Worker, number: int, *addresses: str, mode: str = "") -> None:
        made, template = networked(number, *addresses, mode=mode)
        message = assign(made, revisions=(template,))
        message.networks.extend(NetworkAssignment(network_id=f"net{place}") for place in range(3))
        message.containers.append(BOX)
        message.lists_containers = True
        worker.receive(message)

    async def play(worker: Worker) -> None:
        receive(worker, 1, "10.0.0.7")
        status = await machine.until("r1", S.RUNNING)
        assert (status.revision, status.link.mac_address) == (1, "02:53:00:00:00:01")
        receive(worker, 2, "10.0.0.7")
        await settle()
        assert machine.networks.changes == 0, "another revision on the same networks"
        assert machine.last("r1").revision == 2
        receive(worker, 3, "10.0.0.7", "10.0.1.7")
        await settle()
        assert machine.last("r1").revision == 3
        assert [*machine.runtime.addresses["r1"]] == ["10.0.0.7", "10.0.1.7"]
        pools = [machine.networks.options["r1"].node_pool]
        receive(worker, 4, "10.0.1.7", mode="bridge")
        await settle()
        assert [*machine.runtime.addresses["r1"]] == ["10.0.1.7"]
        assert [*pools, machine.networks.options["r1"].node_pool] == [False, True]
        machine.networks.errors["r1"] = Unavailable("the kernel refused")
        receive(worker, 5, "10.0.1.7", "10.0.2.7")
        await settle()
        assert machine.last("r1").warning == "its networks could not be changed: the kernel refused"
        assert machine.last("r1").state == S.RUNNING
        machine.networks.errors.clear()

    async def after_a_restart(worker: Worker) -> None:
        del worker
        await settle()
        assert [*machine.runtime.addresses["r1"]] == ["10.0.1.7", "10.0.2.7"], "tried again"
        assert machine.networks.changes == 3

    scenario(machine, play, after_a_restart)
