"""The manager program as a whole: real etcd, real TLS, agents that only pretend to run containers."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from manager.etcd.left_processes import running_on
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateServiceRequest,
    ListNodesRequest,
    ListServicesRequest,
    ListTasksRequest,
    LogsRequest,
    LogsResponse,
    NodeView,
    RemoveNetworkRequest,
    RemoveServiceRequest,
    ScaleServicesRequest,
    ServicesProgress,
    WatchServicesRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.logs.log_lines import parse_line
from shoal.rpc.status_mapping import to_shoal_error
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, running_manager, until
from tests.integration.manager.scripted_agents import scripted_agents
from tests.integration.registry_fixture import running_registry
from tests.ports import free_port

Control = Any
"""A `ControlAsyncStub`, a class that only type checkers know."""
IMAGE = "registry.test/hello:1@sha256:" + "a" * 64
IDLE_KIB = 120 * 1024


def service_spec(name: str, replicas: int, *networks: str) -> ServiceSpec:
    spec = ServiceSpec(name=name)
    spec.task.container.image = IMAGE
    spec.replicated.replicas = replicas
    for network in networks:
        spec.task.networks.add(network=network)
    return spec


async def converged(control: Control, service: str, *, removed: bool = False) -> ServicesProgress:
    request = WatchServicesRequest(services=[service], until_removed=removed)
    last = ServicesProgress()
    async for update in control.WatchServices(request, timeout=60):
        last = update
    assert last.done
    return last


async def all_ready(control: Control, number: int) -> bool:
    nodes: Sequence[NodeView] = (await control.ListNodes(ListNodesRequest())).nodes
    return sum(node.status.state == NodeStatus.READY for node in nodes) == number


def test_a_service_lives_and_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            token = await join_token_of(control)
            async with scripted_agents(manager, token, "h1", "h2") as agents:
                await until(lambda: all_ready(control, 2), "both nodes ready")
                await control.CreateNetwork(CreateNetworkRequest(spec=NetworkSpec(name="front")))
                made = await control.CreateService(CreateServiceRequest(spec=service_spec("web", 4, "front")))
                progress = await converged(control, "web")
                assert progress.services[0].running == 4
                tasks = (await control.ListTasks(ListTasksRequest(service="web"))).tasks
                assert {task.node_hostname for task in tasks} == {"h1", "h2"}
                assert all(task.task.addresses for task in tasks)
                assert sum(len(agent.tasks) for agent in agents) == 4
                await _logs(control)
                targets = [ScaleServicesRequest.Target(service="web", replicas=7)]
                await control.ScaleServices(ScaleServicesRequest(targets=targets))
                assert (await converged(control, "web")).services[0].running == 7
                await _in_use(control)
                await control.RemoveService(RemoveServiceRequest(service="web"))
                await converged(control, made.service.meta.id, removed=True)
                await control.RemoveNetwork(RemoveNetworkRequest(network="front"))

    asyncio.run(scenario())


async def _logs(control: Control) -> None:
    answers: list[LogsResponse] = []

    async def are_whole() -> bool:
        """A node that a busy machine keeps from answering for five seconds is reported as missing."""
        answers[:] = [answer async for answer in control.Logs(LogsRequest(target="web"), timeout=20)]
        return not any(answer.warning for answer in answers)

    await until(are_whole, "the logs of all tasks", 60)
    kinds = [answer.WhichOneof("kind") for answer in answers]
    assert kinds.count("source") == 4
    rows = [row for answer in answers for run in answer.batch.chunks for row in run.lines.splitlines()]
    lines = [line for line in map(parse_line, rows) if line]
    assert [line.time_ns for line in lines] == [1] * 4 + [2] * 4
    assert {line.data for line in lines} == {b"line 1", b"line 2"}


async def _in_use(control: Control) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await control.RemoveNetwork(RemoveNetworkRequest(network="front"))
    assert refused.value.code() == StatusCode.FAILED_PRECONDITION
    assert "web" in (refused.value.details() or "")


def test_all_faults_reach_the_caller_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (_, control):
            spec = service_spec("Web!", 2_000_000, "nowhere")
            spec.task.container.image = "UPPER"
            with pytest.raises(aio.AioRpcError) as caught:
                await control.CreateService(CreateServiceRequest(spec=spec))
            error = to_shoal_error(caught.value)
            assert isinstance(error, InvalidInput)
            paths = {fault.path for fault in error.faults}
            assert paths == {
                "name",
                "replicated.replicas",
                "task.container.image",
                "task.networks[0].network",
            }
            assert not (await control.ListServices(ListServicesRequest())).services

    asyncio.run(scenario())


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    async def create(control: Control, number: int) -> str | None:
        try:
            spec = service_spec(f"s{number}", 0)
            answer = await control.CreateService(CreateServiceRequest(spec=spec), timeout=20)
        except aio.AioRpcError:
            return None
        return str(answer.service.meta.id)

    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            token = await join_token_of(control)
            async with scripted_agents(manager, token, "h1"):
                await until(lambda: all_ready(control, 1), "the node ready")
                await control.CreateService(CreateServiceRequest(spec=service_spec("web", 3)))
                await converged(control, "web")
                creations = [asyncio.create_task(create(control, number)) for number in range(60)]
                done = 0
                while done < 20:
                    await asyncio.wait(creations, return_when=asyncio.FIRST_COMPLETED, timeout=0.005)
                    done = sum(creation.done() for creation in creations)
                manager.kill()
                acknowledged = {made for made in await asyncio.gather(*creations) if made is not None}
                assert len(acknowledged) >= 20
                (manager.state / "admin" / "address").unlink()
                manager.start()
                control = await manager.ready()
                services = (await control.ListServices(ListServicesRequest())).services
                assert acknowledged <= {service.service.meta.id for service in services}
                names = [service.service.spec.name for service in services]
                assert len(names) == len(set(names))
                await until(lambda: all_ready(control, 1), "the node back")
                assert (await converged(control, "web")).services[0].running == 3

    asyncio.run(scenario())


def test_idle_memory_and_a_graceful_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            await control.ListServices(ListServicesRequest())
            resident = manager.resident_kib()
            assert resident < IDLE_KIB
            assert manager.stop() == 0
            assert "Traceback" not in manager.log, manager.log
            assert not running_on(manager.state / "etcd" / "data", Path("/proc"))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--state-directory", "relative"], 2, "absolute"),
        (["--api-address", "nonsense"], 2, "api-address"),
        (["--heartbeat-seconds", "0"], 2, "heartbeat-seconds"),
        (["--etcd-endpoint", "127.0.0.1:1", "--etcd-ca", "/nowhere"], 2, "etcd-c"),
        (["--etcd-endpoint", "127.0.0.1:1"], 1, "127.0.0.1:1"),
    ],
)
def test_a_bad_start_is_one_line(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    state = ["--state-directory", str(tmp_path / "state")]
    command = [sys.executable, "-m", "manager.main", "run", *state, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code
    assert len(ended.stderr.strip().splitlines()) == 1
    assert message in ended.stderr


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, _):
            (tmp_path / "second").mkdir()
            second = ManagerProcess(tmp_path / "second" / "manager", api=manager.api)
            second.start()
            assert second.process is not None
            try:
                assert await asyncio.to_thread(second.process.wait, 60) == 1
            finally:
                second.end()
            assert second.log.strip().splitlines()[-1].startswith(f"shoal-manager: cannot listen on {manager.api}")
            assert "Traceback" not in second.log

    asyncio.run(scenario())


def test_a_missing_image_and_an_absent_registry_are_faults(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_registry(tmp_path / "registry") as registry, running_manager(tmp_path) as (_, control):
            for port in (registry.port, free_port()):
                spec = service_spec("web", 0)
                spec.task.container.image = f"127.0.0.1:{port}/none:1"
                with pytest.raises(aio.AioRpcError) as caught:
                    await control.CreateService(CreateServiceRequest(spec=spec))
                error = to_shoal_error(caught.value)
                assert isinstance(error, InvalidInput)
                assert [fault.path for fault in error.faults] == ["task.container.image"]
                assert "none:1" in str(error)
            assert not (await control.ListServices(ListServicesRequest())).services
            answer = await control.CreateService(CreateServiceRequest(spec=spec, no_resolve_image=True))
            assert answer.service.spec.task.container.image == spec.task.container.image

    asyncio.run(scenario())
