"""Containers whose root file systems outlive their runs: created, started, stopped, started again, removed."""

import asyncio
from pathlib import Path

import pytest

from agent.worker.root_origin import RootOrigin
from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.errors import Unavailable
from tests.unit.agent_core.containers.kept_rig import (
    BOX,
    DIGEST,
    EPOCH,
    S,
    machine_with_image,
    order,
    run_of,
    scenario,
    settle,
)
from tests.unit.agent_core.worker_rig import Machine, assign, task


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with_image(tmp_path)


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


def test_a_run_that_has_ended_before_it_was_seen_to_run_has_a_start(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        brief = run_of("r1")
        brief.service_id = "brief"
        worker.receive(order(brief))
        end = await machine.until("r1", S.COMPLETE)
        assert machine.states("r1") == [S.ACCEPTED, S.PREPARING, S.STARTING, S.COMPLETE]
        assert 0 < end.running_at_ms <= end.at_ms

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


def test_images_below_kept_roots_count_as_used(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        del worker
        machine.runtime.roots[BOX] = "sha256:below"
        await asyncio.sleep(60)
        assert "sha256:below" in machine.images.collected[-1]

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
