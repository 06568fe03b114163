"""What is kept of containers that the cluster has forgotten, since it was restored from an older backup."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.worker.root_origin import RootOrigin
from agent.worker.root_verdicts import KnownContainers, Verdict
from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import Assignments, OrphanReport
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import NotFound, Unavailable
from tests.unit.agent_core.containers.kept_rig import BOX, DIGEST, machine_with_image, order, run_of, scenario, settle
from tests.unit.agent_core.worker_rig import Machine, assign

S = TaskState


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with_image(tmp_path)


def snapshot(
    revision: int, *containers: str, epoch: str = "first", tasks: tuple[Task, ...] = (), lists: bool = True
) -> Assignments:
    message = order(*tasks, containers=containers)
    message.store_revision, message.epoch, message.lists_containers = revision, epoch, lists
    return message


async def created(machine: Machine, worker: Worker, revision: int = 10) -> None:
    worker.receive(snapshot(revision, BOX, tasks=(run_of("r1", desired=S.READY),)))
    await machine.until("r1", S.READY)


async def first_report(worker: Worker) -> OrphanReport:
    return await anext(worker.orphan_reports())


def test_a_root_records_what_managers_knew(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await created(machine, worker)
        (origin,) = machine.runtime.root_origins().values()
        assert (origin.epoch, origin.revision, origin.name) == ("first", 10, "polite")
        assert origin.image == f"hello:1@{DIGEST}" and origin.created_at_ms
        assert await first_report(worker) == OrphanReport()

    scenario(machine, play)


def test_what_a_restored_cluster_does_not_know_stays_and_is_reported(machine: Machine) -> None:
    async def create(worker: Worker) -> None:
        await created(machine, worker)

    async def restored(worker: Worker) -> None:
        """The agent was restarted too: what it goes by is on the disk."""
        for revision in (3, 30, 300):
            worker.receive(snapshot(revision, epoch="second"))
            await settle()
        assert BOX in machine.runtime.roots
        (orphan,) = (await first_report(worker)).containers
        assert (orphan.id, orphan.name) == (BOX, "polite")

    async def removed(worker: Worker) -> None:
        with pytest.raises(NotFound):  # it is not certain before a snapshot
            await worker.remove_orphan(BOX)
        worker.receive(snapshot(400, epoch="second"))
        await settle()
        reports = worker.orphan_reports()
        assert (await anext(reports)).count == 1
        await worker.remove_orphan(BOX)
        assert await anext(reports) == OrphanReport()
        assert not machine.runtime.roots
        await reports.aclose()

    scenario(machine, create, restored, removed)


def test_what_a_restored_cluster_knows_is_its_own_from_then_on(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await created(machine, worker)
        worker.receive(snapshot(3, BOX, epoch="second"))
        await settle()
        assert machine.runtime.root_origins()[BOX].epoch == "second"
        worker.receive(snapshot(4, epoch="second"))
        await settle()
        assert not machine.runtime.roots, "removed in the history that knew it"

    scenario(machine, play)


def test_an_adopted_one_is_known_again(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await created(machine, worker)
        worker.receive(snapshot(3, epoch="second"))
        await settle()
        adopted = Assignments(store_revision=4, containers=[BOX], tasks=[run_of("r2", desired=S.READY)])
        adopted.revisions.extend(assign(run_of("r2")).revisions)
        worker.receive(adopted)
        await machine.until("r2", S.READY)
        await settle()
        assert machine.runtime.root_origins()[BOX].epoch == "second" and await first_report(worker) == OrphanReport()
        worker.receive(Assignments(store_revision=5, removed_containers=[BOX], removed_tasks=["r2"]))
        await settle()
        assert not machine.runtime.roots

    scenario(machine, play)


def test_a_backup_of_etcd_is_older_than_the_container(machine: Machine) -> None:
    """It has the same epoch, and a lower revision, which grows past that of the container."""

    async def create(worker: Worker) -> None:
        await created(machine, worker, revision=50)

    async def restored(worker: Worker) -> None:
        worker.receive(snapshot(40))
        await settle()
        worker.receive(snapshot(90))
        await settle()
        assert BOX in machine.runtime.roots and (await first_report(worker)).count == 1

    scenario(machine, create, restored)


def test_a_manager_that_is_only_behind_makes_no_orphan(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await created(machine, worker, revision=50)
        worker.receive(snapshot(49))
        await asyncio.sleep(1)
        worker.receive(Assignments(store_revision=50, containers=[BOX]))
        await settle()
        assert await first_report(worker) == OrphanReport()
        worker.receive(snapshot(51))
        await settle()
        assert not machine.runtime.roots

    scenario(machine, play)


def test_a_disk_that_fails_keeps_it(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await created(machine, worker, revision=50)
        machine.runtime.root_error = Unavailable("the disk failed")
        worker.receive(snapshot(40))
        await settle()
        machine.runtime.root_error = None
        await settle()
        worker.receive(snapshot(90))
        await settle()
        assert BOX in machine.runtime.roots

    scenario(machine, play)


def test_a_task_without_its_container_is_of_a_removed_one(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(snapshot(10, BOX))
        worker.receive(
            Assignments(
                store_revision=11, tasks=[run_of("r1", desired=S.READY)], revisions=assign(run_of("r1")).revisions
            )
        )
        worker.receive(Assignments(store_revision=12, removed_containers=[BOX]))
        await machine.until("r1", S.READY)
        worker.receive(Assignments(store_revision=13, removed_tasks=["r1"]))
        await settle()
        assert not machine.runtime.roots and await first_report(worker) == OrphanReport()

    scenario(machine, play)


EPOCHS = st.sampled_from(["", "a", "b"])
NAMES = st.sets(st.sampled_from(["x", "y"]))


@given(EPOCHS, st.integers(0, 3), NAMES, NAMES, EPOCHS, st.integers(0, 3))
def test_only_the_history_that_knew_it_deletes_it(
    epoch: str, revision: int, kept: set[str], removed: set[str], known_by: str, known_at: int
) -> None:
    known = KnownContainers(epoch, revision)
    known.update(kept=kept, removed=removed)
    found = known.verdict("x", RootOrigin(epoch=known_by, revision=known_at))
    if found is Verdict.DELETE:
        assert "x" in removed - kept
    if found is Verdict.ABSENT:
        assert epoch and known_by == epoch and known_at <= revision and "x" not in kept
    assert ("x" in kept) == (found in (Verdict.KEEP, Verdict.CONFIRM)) or not epoch
