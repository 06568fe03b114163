"""Containers whose root file systems outlive their runs: created, started, stopped, started again, removed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.worker.root_origin import RootOrigin
from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceRevision
from shoal.api.v1.standalone_pb2 import ContainerStop
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import NotFound, Refused, Unavailable
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

S = TaskState
BOX = "container-box"
DIGEST = "sha256:" + "1" * 64
EPOCH = "epoch-1"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.images.digests["hello:1"] = DIGEST
    return made


def scenario(machine: Machine, *plays: Callable[[Worker], Awaitable[None]]) -> None:
    """Each play in an agent's process of its own, on the same host."""

    async def run() -> None:
        for play in plays:
            async with machine.agent() as worker:
                await play(worker)

    run_virtual(run())


def run_of(
    task_id: str, *, desired: TaskState.ValueType = S.RUNNING, container: str = BOX, auto_remove: bool = False
) -> Task:
    made = task(task_id, desired=desired, addresses=() if desired == S.READY else ("10.0.0.7",))
    made.container_id, made.auto_remove = container, auto_remove
    return made


def order(*tasks: Task, containers: tuple[str, ...] = (BOX,)) -> Assignments:
    """A snapshot."""
    message = assign(*tasks)
    message.containers.extend(containers)
    message.lists_containers, message.epoch = True, EPOCH
    return message


async def settle() -> None:
    await asyncio.sleep(30)


def test_a_created_container_has_a_root_and_no_network(machine: Machine) -> None:
    async def create(worker: Worker) -> None:
        worker.receive(order(run_of("r1", desired=S.READY)))
        status = await machine.until("r1", S.READY)
        await settle()
        assert machine.states("r1") == [S.ACCEPTED, S.PREPARING, S.READY]
        assert status.image_digest == DIGEST and not status.pid
        assert machine.runtime.roots == {BOX: DIGEST} and not machine.runtime.volatile_roots
        assert machine.runtime.recorded_volumes == {BOX: frozenset()}
        assert not machine.networks.attached and not machine.runtime.containers

    async def start(worker: Worker) -> None:
        """The agent was restarted meanwhile, and has nothing to do until the start."""
        asked = machine.images.asked
        await settle()
        assert machine.images.asked == asked
        expected = machine.runtime.expected_starts
        worker.receive(order(run_of("r1")))
        await machine.until("r1", S.RUNNING)
        assert machine.runtime.expected_starts == expected + 1, "the kernel's part of a start begins early"
        request = machine.runtime.requests["r1"]
        assert (request.container_id, request.volatile) == (BOX, False)
        assert machine.states("r1") == [S.ACCEPTED, S.PREPARING, S.READY, S.STARTING, S.RUNNING]

    scenario(machine, create, start)


def test_a_created_container_is_stopped_without_having_run(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(order(run_of("r1", desired=S.READY)))
        await machine.until("r1", S.READY)
        worker.receive(order(run_of("r1", desired=S.SHUTDOWN)))
        await machine.until("r1", S.SHUTDOWN)
        await settle()
        assert machine.runtime.roots and not machine.runtime.starts_tried
        assert machine.runtime.not_started == [(BOX, "stopped before it started")]

    scenario(machine, play)


def test_a_run_gets_the_image_that_is_below_its_root(machine: Machine) -> None:
    digest = "sha256:" + "0" * 64

    async def play(worker: Worker) -> None:
        machine.runtime.roots[BOX] = digest
        worker.receive(order(run_of("r1")))
        status = await machine.until("r1", S.RUNNING)
        assert status.image_digest == digest, "not what the tag means by now"
        assert machine.runtime.requests["r1"].image.reference == f"docker.io/library/hello:1@{digest}"

    scenario(machine, play)


def test_runs_end_and_the_root_stays_until_managers_drop_the_container(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(order(run_of("r1")))
        await machine.until("r1", S.RUNNING)
        machine.runtime.end("r1", 3)
        await machine.until("r1", S.FAILED)
        assert machine.runtime.not_started == []
        await settle()
        worker.receive(order())
        await settle()
        assert BOX in machine.runtime.roots, "no task is left, and the container is kept"
        worker.receive(order(containers=()))
        await settle()
        assert BOX not in machine.runtime.roots

    scenario(machine, play)


def test_nothing_is_deleted_before_a_manager_lists_containers(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        machine.runtime.roots.update({BOX: "", "gone": ""})
        machine.runtime.origins.update(dict.fromkeys((BOX, "gone"), RootOrigin(EPOCH)))
        await settle()
        worker.receive(Assignments(removed_containers=[BOX, "gone"]))
        await settle()
        worker.receive(assign(task("t1")))  # a snapshot of a manager that does not know containers
        await settle()
        worker.receive(Assignments(containers=[BOX]))
        await settle()
        assert machine.runtime.roots.keys() == {BOX, "gone"}
        worker.receive(order())
        await settle()
        assert machine.runtime.roots.keys() == {BOX}
        worker.receive(Assignments(containers=["new"]))
        machine.runtime.roots["new"] = ""
        await settle()
        assert machine.runtime.roots.keys() == {BOX, "new"}
        worker.receive(Assignments(removed_containers=[BOX]))
        await settle()
        assert machine.runtime.roots.keys() == {"new"}

    scenario(machine, play)


def test_a_root_goes_after_the_tasks_that_use_it(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(order(run_of("r1")))
        await machine.until("r1", S.RUNNING)
        worker.receive(order(run_of("r1", desired=S.SHUTDOWN), containers=()))
        await machine.until("r1", S.SHUTDOWN)
        await settle()
        assert BOX in machine.runtime.roots, "its task is still assigned"
        machine.runtime.root_error = Unavailable("the disk fails")
        worker.receive(order(containers=()))
        await settle()
        assert BOX in machine.runtime.roots
        machine.runtime.root_error = None
        await settle()
        assert not machine.runtime.roots and not machine.runtime.containers

    scenario(machine, play)


def test_a_container_that_goes_with_its_end_need_not_survive_the_host(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(order(run_of("r1", auto_remove=True)))
        await machine.until("r1", S.RUNNING)
        assert machine.runtime.volatile_roots == {BOX}
        assert machine.runtime.requests["r1"].volatile

    scenario(machine, play)


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


def test_images_below_kept_roots_count_as_used(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        del worker
        machine.runtime.roots[BOX] = "sha256:below"
        await asyncio.sleep(60)
        assert "sha256:below" in machine.images.collected[-1]

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
        machine.runtime.limits_error = None

    async def after_a_restart(worker: Worker) -> None:
        del worker
        await settle()
        assert machine.runtime.limits == [("r1", 128 << 20), ("r1", 1 << 20)], "set once more, it may be missing"

    scenario(machine, play, after_a_restart)


def networked(number: int, *addresses: str, mode: str = "") -> tuple[Task, ServiceRevision]:
    made, template = run_of("r1"), revision()
    del made.addresses[:]
    for place, address in enumerate(addresses):
        made.addresses.add(network_id=f"net{place}", address=address)
    made.revision = template.number = number
    if mode:
        template.spec.task.networks.append(NetworkAttachment(network=mode))
    return made, template


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
        assert (await machine.until("r1", S.RUNNING)).revision == 1
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


def test_a_manager_that_is_behind_deletes_nothing(machine: Machine) -> None:
    def snapshot(revision: int, *containers: str) -> Assignments:
        message = order(containers=containers)
        message.store_revision = revision
        return message

    async def play(worker: Worker) -> None:
        machine.runtime.roots.update({BOX: "", "gone": ""})
        worker.receive(snapshot(10, BOX, "gone"))
        await settle()
        worker.receive(snapshot(9))  # of another manager, which has not seen the newest revision yet
        await settle()
        assert machine.runtime.roots.keys() == {BOX, "gone"}
        worker.receive(Assignments(store_revision=9, removed_containers=["gone"]))
        await asyncio.sleep(0.1)
        assert machine.runtime.roots.keys() == {BOX}, "removed by name, at once"
        worker.receive(Assignments(store_revision=11, containers=[BOX]))
        await settle()
        assert machine.runtime.roots.keys() == {BOX}
        worker.receive(snapshot(12))
        await asyncio.sleep(5)
        assert machine.runtime.roots.keys() == {BOX}, "it may be behind"
        await settle()
        assert not machine.runtime.roots

    scenario(machine, play)
