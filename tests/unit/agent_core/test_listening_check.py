"""No client is led to a task before it listens: what is waited for, and what is told. Virtual time."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.worker.interfaces import ImageConfig, Sockets
from agent.worker.monitoring.listening_check import (
    EXPOSED_TIMEOUT_SECONDS,
    PUBLISHED_TIMEOUT_SECONDS,
    ExpectedPorts,
    expected_ports,
    is_listening,
    missing_ports_warning,
)
from shoal.api.v1.service_pb2 import PublishedPort, ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import is_ready
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

TCP, UDP, SCTP = PublishedPort.TCP, PublishedPort.UDP, PublishedPort.SCTP
WEB = frozenset({(6, 80)})


def published(*ports: PublishedPort) -> ServiceRevision:
    record = revision()
    record.spec.endpoint.ports.extend(ports)
    return record


def play(directory: Path, scenario: Callable[[Machine], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario(Machine(directory))

    run_virtual(body())


def test_published_ports_are_all_waited_for_and_exposed_ones_count_without_them() -> None:
    ports = [PublishedPort(target=80), PublishedPort(target=53, protocol=UDP), PublishedPort(target=9, protocol=SCTP)]
    assert expected_ports(ports, ["443/tcp"]) == ExpectedPorts(
        frozenset({(6, 80), (17, 53)}), True, PUBLISHED_TIMEOUT_SECONDS
    )
    assert expected_ports([], ["443/tcp", "8080", "53/udp", "odd"]) == ExpectedPorts(
        frozenset({(6, 443), (6, 8080)}), False, EXPOSED_TIMEOUT_SECONDS
    )


@pytest.mark.parametrize(
    ("desired", "reached", "result"),
    [
        (ExpectedPorts(), frozenset(), True),
        (ExpectedPorts(frozenset({(6, 80), (6, 81)})), WEB, False),
        (ExpectedPorts(frozenset({(6, 80), (6, 81)}), require_all=False), WEB, True),
        (ExpectedPorts(WEB, require_all=False), frozenset({(17, 80)}), False),
    ],
)
def test_a_task_is_open_when_it_listens_on_what_is_waited_for(
    desired: ExpectedPorts, reached: frozenset[tuple[int, int]], result: bool
) -> None:
    assert is_listening(desired, Sockets(reachable=reached)) is result


def test_a_listener_on_loopback_alone_is_told() -> None:
    assert missing_ports_warning(ExpectedPorts(WEB), Sockets(loopback_only=WEB)) == (
        "nothing listens on 80/tcp except on 127.0.0.1, which is not reachable from outside the container"
    )
    assert missing_ports_warning(ExpectedPorts(WEB), Sockets()) == "nothing listens on 80/tcp"
    assert not missing_ports_warning(ExpectedPorts(WEB, require_all=False), Sockets())


def test_a_task_runs_at_once_and_is_ready_when_it_listens(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(published(PublishedPort(target=80)),)))
            reported = await machine.until("t1", TaskState.RUNNING)
            assert reported.not_listening
            assert not is_ready(Task(), reported)
            machine.networks.open = Sockets(reachable=WEB)
            await machine.until_true(lambda: not machine.last("t1").not_listening)
            assert is_ready(Task(), machine.last("t1"))
            assert not machine.last("t1").warning

    play(tmp_path, scenario)


def test_a_task_that_never_listens_is_led_to_after_a_while_and_told(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(published(PublishedPort(target=80)),)))
            began = (await machine.until("t1", TaskState.RUNNING)).at_ms
            await machine.until_true(lambda: not machine.last("t1").not_listening)
            assert machine.last("t1").warning == "nothing listens on 80/tcp"
            assert abs(machine.last("t1").at_ms - began - PUBLISHED_TIMEOUT_SECONDS * 1000) <= 1

    play(tmp_path, scenario)


def test_without_ports_or_with_a_health_check_nothing_is_waited_for(tmp_path: Path) -> None:
    checked = published(PublishedPort(target=80))
    checked.spec.task.container.healthcheck.test.extend(["CMD", "ask"])

    async def scenario(machine: Machine) -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), task("t2", service="brave"), revisions=(checked, revision("brave"))))
            for each in ("t1", "t2"):
                assert not (await machine.until(each, TaskState.RUNNING)).not_listening
        assert machine.last("t1").health in (TaskStatus.STARTING, TaskStatus.HEALTHY)

    play(tmp_path, scenario)


def test_what_an_image_exposes_is_waited_for_where_the_task_has_an_address(tmp_path: Path) -> None:
    alone = task("t2", service="brave")
    del alone.addresses[:]

    async def scenario(machine: Machine) -> None:
        machine.images.config = ImageConfig(exposed_ports=("80/tcp",))
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), alone))
            assert (await machine.until("t1", TaskState.RUNNING)).not_listening
            assert not (await machine.until("t2", TaskState.RUNNING)).not_listening

    play(tmp_path, scenario)


def test_an_agent_that_begins_anew_does_not_leave_a_task_waiting(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        record = published(PublishedPort(target=80))
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(record,)))
            assert (await machine.until("t1", TaskState.RUNNING)).not_listening
        async with machine.agent():
            await machine.until_true(lambda: not machine.last("t1").not_listening)

    play(tmp_path, scenario)
