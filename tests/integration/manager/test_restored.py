"""A manager that lost its etcd comes back from a backup, with the same nodes and what their tasks should be."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.worker.root_origin import RootOrigin
from agent.worker.root_verdicts import KnownContainers, Verdict
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetClusterRequest,
    GetNodeRequest,
    ListServicesRequest,
    ScaleServicesRequest,
    WatchServicesRequest,
)
from shoal.api.v1.dispatcher_pb2 import AgentMessage, OrphanReport
from shoal.api.v1.engine_pb2 import CreateContainerRequest
from shoal.api.v1.engine_pb2_grpc import ContainersStub
from shoal.api.v1.node_pb2 import OrphanedContainer
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, running_manager, until
from tests.integration.manager.scripted_agents import scripted_agents
from tests.integration.manager.test_two_managers import web


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "manager.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def on(manager: ManagerProcess, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    command, *rest = map(str, words)
    return await asyncio.to_thread(run, command, "--state-directory", str(manager.state), *rest)


async def running(control: Any, service: str) -> int:
    last = 0
    async for update in control.WatchServices(WatchServicesRequest(services=[service]), timeout=60):
        last = update.services[0].running
    return last


def test_a_cluster_comes_back_as_it_was_at_the_backup(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "shoal.backup"
        # The tasks would be replaced if the node found the new manager later than it may be silent.
        async with running_manager(tmp_path, "--heartbeat-seconds", "5") as (manager, control):
            cluster = await control.GetCluster(GetClusterRequest())
            async with scripted_agents(manager, await join_token_of(control), "h1") as (agent,):
                await control.CreateService(CreateServiceRequest(spec=web("web", 3)))
                assert await running(control, "web") == 3
                of_then = set(agent.tasks)
                saved = await on(manager, "backup", file)
                assert (saved.returncode, saved.stderr) == (0, "")
                newer = [ScaleServicesRequest.Target(service="web", replicas=5)]
                await control.ScaleServices(ScaleServicesRequest(targets=newer))
                await control.CreateService(CreateServiceRequest(spec=web("after", 1)))
                assert await running(control, "after") == 1
                busy = await on(manager, "restore", "--force", file)
                assert (busy.returncode, "a manager responds at" in busy.stderr) == (1, True)
                assert manager.stop() == 0
                again = await on(manager, "restore", "--force", file)
                assert (again.returncode, "empty" in again.stderr) == (1, True)
                shutil.rmtree(manager.state / "etcd")
                restored = await on(manager, "restore", "--force", file)
                assert restored.returncode == 0, restored.stderr
                manager.start()
                control = await manager.ready()
                assert (await control.GetCluster(GetClusterRequest())).id == cluster.id
                assert await running(control, "web") == 3
                services = (await control.ListServices(ListServicesRequest())).services
                assert [each.service.spec.name for each in services] == ["web"]

                async def as_then() -> bool:
                    return set(agent.tasks) == of_then

                await until(as_then, "the node has the tasks of the backup, and no newer ones")

    asyncio.run(scenario())


def test_containers_younger_than_the_backup_stay_on_their_nodes(tmp_path: Path) -> None:
    """Nodes go by the epoch, and a user decides about what the cluster has forgotten."""

    async def scenario() -> None:
        file = tmp_path / "shoal.backup"
        async with (
            running_manager(tmp_path, "--heartbeat-seconds", "5") as (manager, control),
            scripted_agents(manager, await join_token_of(control), "h1") as (agent,),
        ):

            async def connected() -> bool:
                return bool(agent.snapshots) and agent.snapshots[-1].epoch != epoch

            epoch = ""
            await until(connected, "the node is connected")
            old = await create(manager, "old")
            saved = await on(manager, "backup", file)
            assert saved.returncode == 0, saved.stderr
            young = await create(manager, "young")
            epoch = agent.snapshots[-1].epoch
            origins = {each: RootOrigin(epoch, 1 << 40, each) for each in (old, young)}
            assert manager.stop() == 0
            shutil.rmtree(manager.state / "etcd")
            restored = await on(manager, "restore", "--force", file)
            assert restored.returncode == 0, restored.stderr
            manager.start()
            control = await manager.ready()

            await until(connected, "the node has a snapshot of the new epoch")
            known = KnownContainers(agent.snapshots[-1].epoch, agent.snapshots[-1].store_revision)
            known.update(kept=set(agent.snapshots[-1].containers), removed=set())
            verdicts = {each: known.verdict(each, origin) for each, origin in origins.items()}
            assert epoch and verdicts == {old: Verdict.CONFIRM, young: Verdict.ORPHAN}

            orphan = OrphanedContainer(id=young, name="young", image="docker.io/library/busybox:1")
            agent.report(AgentMessage(orphans=OrphanReport(containers=[orphan], count=1)))

            async def warned() -> bool:
                node = await control.GetNode(GetNodeRequest(node="h1"))
                return any("no record" in each for each in node.warnings)

            await until(warned, "the node's warning")
            assert await create(manager, "young", adopt=young) == young

            async def assigned() -> bool:
                return young in {task.container_id for task in agent.tasks.values()}

            await until(assigned, "the adopted container's task")

    asyncio.run(scenario())


async def create(manager: ManagerProcess, name: str, adopt: str = "") -> str:
    definition = ContainerDefinition(task=web("x", 1).task)
    del definition.task.networks[:]
    request = CreateContainerRequest(name=name, definition=definition, adopt=adopt, no_resolve_image=True)
    return str((await ContainersStub(manager.channel()).CreateContainer(request, timeout=30)).container.meta.id)
