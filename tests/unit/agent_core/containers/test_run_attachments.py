"""How runs of containers are attached to networks and to the namespaces of others."""

from pathlib import Path

import pytest

from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment
from tests.unit.agent_core.containers.kept_rig import BOX, S, machine_with_image, networked, scenario
from tests.unit.agent_core.worker_rig import Machine, assign


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with_image(tmp_path)


def test_how_a_containers_run_is_attached(machine: Machine) -> None:
    made, template = networked(1)
    template.spec.task.container.mac_address = "02:42:ac:11:00:02"
    template.spec.task.container.links.add(container_id="other", names=["db", "store"])

    async def play(worker: Worker) -> None:
        message = assign(made, revisions=(template,))
        message.containers.append(BOX)
        message.lists_containers = True
        worker.receive(message)
        await machine.until("r1", S.RUNNING)
        options = machine.networks.options["r1"]
        assert options.node_pool and not options.internal_only
        assert (options.container_id, options.mac) == (BOX, "02:42:ac:11:00:02")
        assert options.links == {"db": "other", "store": "other"}

    async def after_a_restart(worker: Worker) -> None:
        del worker
        assert machine.networks.options["r1"].links == {"db": "other", "store": "other"}
        assert machine.networks.options["r1"].container_id == BOX

    scenario(machine, play, after_a_restart)


def test_on_the_nodes_own_network_it_has_the_nodes_name(machine: Machine) -> None:
    made, template = networked(1, mode="host")

    async def play(worker: Worker) -> None:
        message = assign(made, revisions=(template,))
        message.containers.append(BOX)
        message.lists_containers = True
        worker.receive(message)
        await machine.until("r1", S.RUNNING)
        request = machine.runtime.requests["r1"]
        assert (request.netns_fd, request.spec.hostname) == (-1, "host-n")
        assert request.etc_files["/etc/hostname"] == b"host-n\n"

    scenario(machine, play)


def test_namespaces_of_others_are_asked_for(machine: Machine) -> None:
    made, template = networked(1, "10.0.0.7")
    made.pid_task_id, made.ipc_task_id = "r8", "r9"

    async def play(worker: Worker) -> None:
        message = assign(made, revisions=(template,))
        message.networks.append(NetworkAssignment(network_id="net0"))
        message.containers.append(BOX)
        message.lists_containers = True
        worker.receive(message)
        await machine.until("r1", S.RUNNING)
        request = machine.runtime.requests["r1"]
        assert (request.pid_task_id, request.ipc_task_id) == ("r8", "r9")

    scenario(machine, play)
