"""Before the stop signal: who leads clients to a task, who kept its address, and who has a connection open."""

import asyncio
from pathlib import Path

import pytest

from agent.worker.interfaces import Sockets
from agent.worker.shutdown.stop_policy import DrainPolicy, drain_policy
from agent.worker.worker import Worker
from shoal.api.v1.service_pb2 import Endpoint, ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

S = TaskState


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def stopped(task_id: str = "t1", *, drained: bool = True, ports: tuple[int, ...] = (), alone: bool = False) -> Task:
    return task(task_id, desired=S.SHUTDOWN, drained=drained, ports=ports, addresses=() if alone else ("10.0.0.7",))


async def running(machine: Machine, worker: Worker, of: ServiceRevision, **more: object) -> None:
    worker.receive(assign(task("t1", **more), revisions=(of,)))  # type: ignore[arg-type]  # of `task`
    await machine.until("t1", S.RUNNING)


async def seconds_to_stop(machine: Machine, worker: Worker, last: Task, of: ServiceRevision) -> float:
    begin = asyncio.get_running_loop().time()
    worker.receive(assign(last, revisions=(of,), snapshot=False))
    await machine.until("t1", S.SHUTDOWN)
    return round(asyncio.get_running_loop().time() - begin, 3)


def test_the_signal_waits_for_the_managers_word_that_nobody_is_led_to_the_task(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, revision())
            worker.receive(assign(stopped(drained=False), snapshot=False))
            await asyncio.sleep(25.0)
            assert not machine.runtime.signals
            assert await seconds_to_stop(machine, worker, stopped(), revision()) < 0.5
            assert machine.runtime.signals == [("t1", "SIGTERM")]

    run_virtual(run())


def test_without_that_word_the_signal_comes_after_a_while(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, revision())
            assert 30.0 <= await seconds_to_stop(machine, worker, stopped(drained=False), revision()) < 30.5

    run_virtual(run())


@pytest.mark.parametrize(("drain_ms", "seconds"), [(None, 5.0), (0, 0.0), (2_000, 2.0)])
def test_open_connections_are_waited_for_as_long_as_the_service_says(
    machine: Machine, drain_ms: int | None, seconds: float
) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            of = revision(drain_ms=drain_ms)
            await running(machine, worker, of)
            machine.networks.open = Sockets(connections=1)
            assert seconds <= await seconds_to_stop(machine, worker, stopped(), of) < seconds + 0.5

    run_virtual(run())


def test_it_stops_as_soon_as_no_client_is_connected(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            of = revision(drain_ms=60_000)
            await running(machine, worker, of)
            machine.networks.open = Sockets(connections=1)
            worker.receive(assign(stopped(), revisions=(of,), snapshot=False))
            await asyncio.sleep(20.0)
            assert not machine.runtime.signals
            machine.networks.open = Sockets()
            assert await seconds_to_stop(machine, worker, stopped(), of) < 0.5

    run_virtual(run())


def test_a_task_with_ports_of_its_node_alone_is_drained_too(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            await running(machine, worker, revision(), addresses=(), ports=(8080,))
            machine.networks.open = Sockets(connections=1)
            last = stopped(drained=False, ports=(8080,), alone=True)
            assert 5.0 <= await seconds_to_stop(machine, worker, last, revision()) < 5.5
            assert machine.networks.withdrawn == ["t1"]

    run_virtual(run())


@pytest.mark.parametrize(("mode", "seconds"), [(Endpoint.DNSRR, 5.0), (Endpoint.VIP, 0.0)])
def test_a_task_whose_address_is_given_by_its_services_name_waits_until_answers_are_old(
    machine: Machine, mode: Endpoint.Mode.ValueType, seconds: float
) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            of = revision(mode=mode)
            await running(machine, worker, of)
            assert seconds <= await seconds_to_stop(machine, worker, stopped(), of) < seconds + 0.5

    run_virtual(run())


def test_a_container_of_ones_own_is_not_drained(machine: Machine) -> None:
    def of_container(made: Task) -> Task:
        made.container_id = "box"
        return made

    async def run() -> None:
        async with machine.agent() as worker:
            of, first = revision(mode=Endpoint.DNSRR), assign(of_container(task("t1", addresses=("10.0.0.7",))))
            first.containers.append("box")
            worker.receive(first)
            await machine.until("t1", S.RUNNING)
            machine.networks.open = Sockets(connections=1)
            assert await seconds_to_stop(machine, worker, of_container(stopped(drained=False)), of) < 0.5
            assert machine.runtime.signals == [("t1", "SIGTERM")]

    run_virtual(run())


def test_a_task_that_ends_by_itself_meanwhile_is_not_waited_for(machine: Machine) -> None:
    async def run() -> None:
        async with machine.agent() as worker:
            of = revision(mode=Endpoint.DNSRR)
            await running(machine, worker, of)
            worker.receive(assign(stopped(drained=False), revisions=(of,), snapshot=False))
            await asyncio.sleep(1.0)
            machine.runtime.end("t1", 0)
            assert await seconds_to_stop(machine, worker, stopped(drained=False), of) < 0.5
            assert not machine.runtime.signals

    run_virtual(run())


def test_terms_without_a_revision_are_the_defaults() -> None:
    assert drain_policy(None) == DrainPolicy(5.0, uses_dnsrr=False)
