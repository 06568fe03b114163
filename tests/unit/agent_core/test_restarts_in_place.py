"""Tasks that end while no manager decides: their node restarts them, or a manager does, and never both."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.health.exec_pool import ExecResult
from agent.worker.shared.manager_contact import GRACE_SECONDS
from agent.worker.worker import Worker
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.service_pb2 import RestartPolicy, ServiceRevision
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import Unavailable
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

S = TaskState
DELAY_MS = 5_000


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.images.digests["hello:1"] = f"sha256:{'a' * 64}"
    return made


def scenario(machine: Machine, play: Callable[[Worker], Awaitable[None]]) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await play(worker)

    run_virtual(run())


def service(name: str = "serve", **policy: int) -> ServiceRevision:
    made = revision(name)
    made.spec.task.restart.CopyFrom(RestartPolicy(**{"delay_ms": DELAY_MS, **policy}))  # type: ignore[arg-type]
    return made


async def running(machine: Machine, worker: Worker, record: Task, made: ServiceRevision) -> None:
    """The task runs; then no manager is in reach."""
    worker.receive(assign(record, revisions=(made,)))
    await machine.until(record.id, S.RUNNING)
    worker.set_connected(False)
    await asyncio.sleep(GRACE_SECONDS + 1)


async def fails(task_id: str, command: tuple[str, ...]) -> ExecResult:
    return ExecResult(1, b"no answer")


def final_reports(machine: Machine, task_id: str) -> list[TaskStatus]:
    return [each for each in machine.reports if each.task_id == task_id and each.state > S.RUNNING]


async def restarted(machine: Machine, task_id: str, count: int = 1) -> TaskStatus:
    """Wait until the task runs again."""
    await machine.until_true(lambda: is_restarted(machine.last(task_id), count))
    return machine.last(task_id)


def is_restarted(status: TaskStatus, count: int) -> bool:
    return status.restarts.count >= count and not status.restarts.starting and status.state == S.RUNNING


def test_a_task_that_fails_is_restarted_after_its_delay_with_all_that_is_its_own(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await running(machine, worker, task("a", service="serve"), service())
        before = machine.last("a")
        machine.runtime.end("a", 3)
        await machine.until_true(lambda: "a" not in machine.runtime.containers)  # with its root file system
        assert "a" in machine.runtime.logs_kept and "a" not in machine.networks.attached
        ended_ms = machine.now_ms()
        status = await restarted(machine, "a")
        assert status.running_at_ms >= ended_ms + DELAY_MS - 50 and status.pid != before.pid
        restarts = status.restarts
        assert (restarts.count, restarts.attempt, restarts.exit_code, restarts.message) == (1, 1, 3, "exit code 3")
        assert machine.networks.attached["a"].addresses[0].address == "10.0.0.7"
        assert not final_reports(machine, "a"), "managers learn of no end"
        assert status.image_digest == before.image_digest

    scenario(machine, play)


def test_a_crash_loop_slows_down_and_attempts_end_it(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await running(machine, worker, task("a", service="serve"), service(max_attempts=3))
        times = []
        for count in range(1, 4):
            machine.runtime.end("a", 3)
            times.append((await restarted(machine, "a", count)).running_at_ms)
        machine.runtime.end("a", 3)
        await machine.until("a", S.FAILED)
        assert times[2] - times[1] > 1.5 * (times[1] - times[0])
        assert [each.message for each in final_reports(machine, "a")] == ["exit code 3"]
        await asyncio.sleep(3600)
        assert "a" not in machine.runtime.containers

    scenario(machine, play)


@pytest.mark.parametrize(
    ("condition", "code", "follows"),
    [
        (RestartPolicy.NONE, 3, False),
        (RestartPolicy.ON_FAILURE, 0, False),
        (RestartPolicy.ON_FAILURE, 3, True),
        (RestartPolicy.ANY, 0, True),
    ],
)
def test_the_condition_of_the_policy_holds(machine: Machine, condition: int, code: int, follows: bool) -> None:
    async def play(worker: Worker) -> None:
        await running(machine, worker, task("a", service="serve"), service(condition=condition))
        machine.runtime.end("a", code)
        await asyncio.sleep(60)
        assert bool(final_reports(machine, "a")) != follows
        assert ("a" in machine.runtime.containers) == follows

    scenario(machine, play)


def test_without_the_policy_from_managers_of_an_earlier_release_nothing_is_restarted(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await running(machine, worker, task("a", service="serve"), revision("serve"))
        machine.runtime.end("a", 3)
        await machine.until("a", S.FAILED)

    scenario(machine, play)


def test_a_job_that_has_completed_is_not_run_again(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        record = task("a", service="serve")
        record.job_run = 4
        await running(machine, worker, record, service())
        machine.runtime.end("a", 3)
        await restarted(machine, "a")
        machine.runtime.end("a", 0)
        await machine.until("a", S.COMPLETE)

    scenario(machine, play)


def test_while_a_manager_is_in_reach_it_decides(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("a", service="serve"), revisions=(service(),)))
        await machine.until("a", S.RUNNING)
        machine.runtime.end("a", 3)
        await machine.until("a", S.FAILED)
        await asyncio.sleep(60)
        assert "a" not in machine.runtime.containers

    scenario(machine, play)


def test_a_fail_over_restarts_nothing(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("a", service="serve"), revisions=(service(delay_ms=0),)))
        await machine.until("a", S.RUNNING)
        worker.set_connected(False)
        machine.runtime.end("a", 3)
        await asyncio.sleep(GRACE_SECONDS - 1)
        assert machine.last("a").state == S.RUNNING and "a" not in machine.runtime.containers
        worker.set_connected(True)
        await machine.until("a", S.FAILED)

    scenario(machine, play)


def test_an_end_that_a_manager_may_have_stored_is_left_to_managers(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("a", service="serve"), revisions=(service(),)))
        await machine.until("a", S.RUNNING)
        machine.stores = False
        machine.runtime.end("a", 3)
        await machine.until("a", S.FAILED)
        worker.set_connected(False)
        await asyncio.sleep(3600)
        assert "a" not in machine.runtime.containers
        worker.set_connected(True)
        (known,) = (each for each in worker.statuses() if each.task_id == "a")
        assert known.state == S.FAILED

    scenario(machine, play)


def test_an_end_that_managers_have_dropped_is_this_nodes(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        worker.receive(assign(task("a", service="serve"), revisions=(service(),)))
        await machine.until("a", S.RUNNING)
        machine.stores = False
        machine.runtime.end("a", 3)
        await machine.until("a", S.FAILED)
        worker.not_stored("a")
        worker.set_connected(False)
        status = await restarted(machine, "a")
        assert status.restarts.message == "exit code 3"

    scenario(machine, play)


def test_a_task_that_is_to_stop_or_was_stopped_by_its_node_stays_so(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        bounded = service("polite")
        bounded.spec.task.stop_on_disconnect_ms = 30_000
        records = task("bounded"), task("stopping", service="serve")
        worker.receive(assign(*records, revisions=(bounded, service())))
        for record in records:
            await machine.until(record.id, S.RUNNING)
        stop = task("stopping", service="serve", desired=S.SHUTDOWN)
        worker.receive(assign(stop, revisions=(), snapshot=False))
        await machine.until_true(lambda: ("stopping", "SIGTERM") in machine.runtime.signals)
        worker.set_connected(False)
        machine.runtime.end("stopping", 143)
        await machine.until("stopping", S.SHUTDOWN)
        machine.runtime.end("bounded", 1)
        await restarted(machine, "bounded")
        await machine.until("bounded", S.SHUTDOWN)
        await asyncio.sleep(600)
        assert not machine.runtime.containers

    scenario(machine, play)


def test_what_waits_for_its_restart_when_it_has_to_stop_on_disconnect_has_failed(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        bounded = service("serve", delay_ms=60_000)
        bounded.spec.task.stop_on_disconnect_ms = 30_000
        await running(machine, worker, task("a", service="serve"), bounded)
        machine.runtime.end("a", 1)
        await machine.until("a", S.FAILED)
        await asyncio.sleep(600)
        assert "a" not in machine.runtime.containers

    scenario(machine, play)


def test_what_cannot_start_again_is_tried_again(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await running(machine, worker, task("a", service="serve"), service())
        machine.networks.errors["a"] = Unavailable("no room")
        machine.runtime.end("a", 1)
        await machine.until_true(lambda: machine.last("a").restarts.count >= 2)
        assert machine.last("a").restarts.message == "no room"
        machine.networks.errors.clear()
        await restarted(machine, "a", 2)
        assert not final_reports(machine, "a")

    scenario(machine, play)


def test_one_that_fails_its_health_check_is_restarted_too(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        made = service("polite")
        made.spec.task.container.healthcheck.CopyFrom(
            Healthcheck(test=["CMD", "check"], interval_ms=1_000, timeout_ms=500, retries=2)
        )
        machine.probed.answer = fails
        await running(machine, worker, task("a"), made)
        status = await restarted(machine, "a")
        assert status.restarts.message.startswith("unhealthy") and status.health == TaskStatus.STARTING

    scenario(machine, play)


def test_a_task_is_restarted_once_that_whose_network_it_shares_runs(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        provider, sharer = task("p", service="serve"), task("s", service="polite", addresses=())
        sharer.network_task_id = "p"
        revisions = service(), service("polite", delay_ms=0)
        worker.receive(assign(provider, revisions=revisions))
        await machine.until("p", S.RUNNING)
        worker.receive(assign(provider, sharer, revisions=revisions))
        await machine.until("s", S.RUNNING)
        worker.set_connected(False)
        await asyncio.sleep(GRACE_SECONDS)
        machine.runtime.end("p", 1)
        await restarted(machine, "p")
        status = await restarted(machine, "s")
        assert status.restarts.message == "the task whose network it shares was restarted"
        machine.runtime.end("p", 1)
        machine.runtime.end("s", 1)
        await restarted(machine, "s", 2)
        assert is_restarted(machine.last("p"), 2)

    scenario(machine, play)


# Containers of one's own.


def container(restart: ContainerRestart.Condition.ValueType, max_attempts: int = 0) -> Task:
    made = task("a", service="serve", addresses=())
    made.container_id, made.job_run = "own", 1
    made.restart.CopyFrom(ContainerRestart(condition=restart, max_attempts=max_attempts))
    return made


def no_policy() -> ServiceRevision:
    return service(condition=RestartPolicy.NONE)


@pytest.mark.parametrize("restart", [ContainerRestart.ALWAYS, ContainerRestart.UNLESS_STOPPED])
def test_a_container_is_restarted_by_its_own_policy_with_its_files(
    machine: Machine, restart: ContainerRestart.Condition.ValueType
) -> None:
    async def play(worker: Worker) -> None:
        await running(machine, worker, container(restart), no_policy())
        for count in range(1, 4):
            machine.runtime.end("a", 0)
            status = await restarted(machine, "a", count)
            assert machine.runtime.requests["a"].container_id == "own"
        assert list(machine.runtime.roots) == ["own"] and status.restarts.restart_delay_ms == 400
        assert status.revision == 1, "its networks are told"

    scenario(machine, play)


def test_a_container_fails_for_good_after_its_attempts_and_without_a_policy_at_once(machine: Machine) -> None:
    async def play(worker: Worker) -> None:
        await running(machine, worker, container(ContainerRestart.ON_FAILURE, 2), no_policy())
        for count in (1, 2):
            machine.runtime.end("a", 1)
            await restarted(machine, "a", count)
        machine.runtime.end("a", 1)
        await machine.until("a", S.FAILED)

    scenario(machine, play)


def test_a_container_that_its_user_has_signalled_stays_ended_also_after_a_crash_of_the_agent(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, container(ContainerRestart.ALWAYS), no_policy())
            await worker.signal("a", "SIGHUP")
        async with machine.agent(connected=False):
            machine.runtime.end("a", 1)
            await machine.until("a", S.FAILED)
            await asyncio.sleep(600)
            assert "a" not in machine.runtime.containers

    run_virtual(run())


# Crashes of the agent, and of its host.


def test_an_agent_that_starts_without_managers_restarts_what_ended_meanwhile(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, task("a", service="serve"), service())
        machine.runtime.end("a", 9)
        async with machine.agent(connected=False):
            status = await restarted(machine, "a")
            assert status.restarts.exit_code == 9
        async with machine.agent() as worker:  # with the container that was restarted
            await machine.until_true(lambda: bool(worker.statuses()))
            (known,) = worker.statuses()
            assert is_restarted(known, 1) and known.pid == machine.runtime.containers["a"].pid  # type: ignore[union-attr]

    run_virtual(run())


def test_a_crash_while_the_restart_waits_or_begins_is_no_second_restart(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, task("a", service="serve"), service())
            machine.runtime.end("a", 9)
            await machine.until_true(lambda: "a" not in machine.runtime.containers)
        machine.images.held.clear()
        async with machine.agent(connected=False):
            await machine.until_true(lambda: machine.last("a").restarts.count == 1)
        async with machine.agent(connected=False) as worker:
            await asyncio.sleep(1)
            machine.images.held.set()
            await restarted(machine, "a")
            worker.set_connected(True)
            await asyncio.sleep(60)
            (known,) = worker.statuses()
            assert known.restarts.count == 1 and not final_reports(machine, "a")

    run_virtual(run())


def test_after_an_offer_no_later_process_restarts(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("a", service="serve"), revisions=(service(),)))
            await machine.until("a", S.RUNNING)
            machine.stores = False
            machine.runtime.end("a", 3)
            await machine.until("a", S.FAILED)
        async with machine.agent(connected=False) as worker:
            await asyncio.sleep(600)
            assert "a" not in machine.runtime.containers
            machine.stores = True
            worker.set_connected(True)
            (known,) = worker.statuses()
            assert known.state == S.FAILED
            worker.stored(known)
            await machine.until_true(lambda: worker.statuses()[0].exit_code == 3)

    run_virtual(run())


def test_what_an_earlier_process_has_offered_may_be_stored_whatever_a_manager_drops_of_this_one(
    machine: Machine,
) -> None:
    """By another manager, whose write etcd makes late."""

    async def run() -> None:
        machine.stores = False
        async with machine.agent() as worker:
            worker.receive(assign(task("a", service="serve"), revisions=(service(),)))
            await machine.until("a", S.RUNNING)
            machine.runtime.end("a", 3)
            await machine.until("a", S.FAILED)
        async with machine.agent() as worker:
            worker.not_stored("a")
            worker.set_connected(False)
            await asyncio.sleep(600)
            assert "a" not in machine.runtime.containers
            (known,) = worker.statuses()
            assert known.state == S.FAILED

    run_virtual(run())


@pytest.mark.parametrize("restarting", [False, True])
def test_after_a_reboot_of_the_host_managers_decide(machine: Machine, restarting: bool) -> None:
    """The journal's newest records may be missing: the task may have ended for good, and its address be another's."""

    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, task("a", service="serve"), service())
            if restarting:
                machine.images.held.clear()
            machine.runtime.end("a", 9)
            await machine.until_true(
                lambda: machine.last("a").restarts.count == 1 if restarting else "a" not in machine.runtime.containers
            )
        machine.boot_id, machine.runtime.containers = "second", {}
        machine.images.held.set()
        for _ in range(2):
            async with machine.agent(connected=False) as worker:
                await asyncio.sleep(600)
                assert "a" not in machine.runtime.containers
        async with machine.agent() as worker:
            await machine.until_true(lambda: [each.state for each in worker.statuses()] == [S.FAILED])

    run_virtual(run())


def test_a_container_that_runs_disproves_an_end_in_the_journal(machine: Machine) -> None:
    """As after a crash on a full disk, which did not take the record of the restart."""

    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, task("a", service="serve"), service())
            machine.runtime.end("a", 9)
            await machine.until_true(lambda: "a" not in machine.runtime.containers)
            journal = (machine.directory / "journal" / "records").read_bytes()
            await restarted(machine, "a")
        (machine.directory / "journal" / "records").write_bytes(journal)
        async with machine.agent() as worker:
            status = await restarted(machine, "a")
            assert status.restarts.count == 1 and status.restarts.exit_code == 9

    run_virtual(run())
