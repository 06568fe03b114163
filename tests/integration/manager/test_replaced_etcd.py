"""An etcd that is wiped and restored under a running manager: no write is acknowledged that is lost."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from grpc import aio

from shoal.api.v1.control_pb2 import CreateServiceRequest, GetClusterRequest, ListServicesRequest
from tests.integration.manager.manager_process import EtcdProcess, ManagerProcess
from tests.integration.manager.test_restored import run
from tests.integration.manager.test_two_managers import web


async def names(control: Any) -> set[str]:
    services = (await control.ListServices(ListServicesRequest(), timeout=5)).services
    return {each.service.spec.name for each in services}


async def create_until_it_ends(manager: ManagerProcess, control: Any) -> set[str]:
    """Create services until the manager has ended; those that it acknowledged."""
    acknowledged: set[str] = set()
    assert manager.process is not None
    async with asyncio.timeout(60):
        for number in range(10_000):
            if manager.process.poll() is not None:
                break
            try:
                await control.CreateService(CreateServiceRequest(spec=web(f"new{number}", 1)), timeout=2)
                acknowledged.add(f"new{number}")
            except aio.AioRpcError:
                await asyncio.sleep(0.05)
    return acknowledged


def test_a_manager_ends_rather_than_serve_what_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        etcd = EtcdProcess(tmp_path / "etcd")
        etcd.start()
        await asyncio.to_thread(etcd.wait_until_healthy)
        options = ("--etcd-endpoint", etcd.endpoint)
        key = ("--state-directory", str(tmp_path / "manager"))
        manager = ManagerProcess(tmp_path / "manager", more=options)
        manager.start()
        try:
            control = await manager.ready()
            cluster = await control.GetCluster(GetClusterRequest())
            await control.CreateService(CreateServiceRequest(spec=web("kept", 1)))
            saved = await asyncio.to_thread(run, "backup", *options, *key, str(tmp_path / "saved"))
            assert saved.returncode == 0, saved.stderr
            for number in range(20):
                await control.CreateService(CreateServiceRequest(spec=web(f"later{number}", 1)))
            etcd.kill()
            shutil.rmtree(etcd.directory)
            etcd.start()
            await asyncio.to_thread(etcd.wait_until_healthy)
            acknowledged = await create_until_it_ends(manager, control)
            assert not acknowledged
            assert "etcd was restored or wiped" in manager.log
            # Nothing was written, so it is empty still, and the backup is restored.
            manager.start()
            assert manager.process is not None
            assert await asyncio.to_thread(manager.process.wait, 60) == 1
            assert "etcd is empty, but this manager belongs to a cluster" in manager.log
            restored = await asyncio.to_thread(
                run, "restore", "--force", "--skip-manager-check", *options, *key, str(tmp_path / "saved")
            )
            assert restored.returncode == 0, restored.stderr
            manager.start()
            control = await manager.ready()
            assert (await control.GetCluster(GetClusterRequest())).id == cluster.id
            assert await names(control) == {"kept"}
        finally:
            manager.end()
            etcd.kill()

    asyncio.run(scenario())


def test_two_managers_agree_after_a_restoration(tmp_path: Path) -> None:
    """One that was paused meanwhile, with its cache of before, writes nothing when it goes on."""

    async def scenario() -> None:
        etcd = EtcdProcess(tmp_path / "etcd")
        etcd.start()
        await asyncio.to_thread(etcd.wait_until_healthy)
        options = ("--etcd-endpoint", etcd.endpoint)
        key = ("--state-directory", str(tmp_path / "manager"))
        manager = ManagerProcess(tmp_path / "manager", more=options)
        manager.start()
        try:
            control = await manager.ready()
            await control.CreateService(CreateServiceRequest(spec=web("kept", 1)))
            saved = await asyncio.to_thread(run, "backup", *options, *key, str(tmp_path / "saved"))
            assert saved.returncode == 0, saved.stderr
            manager.pause()
            etcd.kill()
            shutil.rmtree(etcd.directory)
            etcd.start()
            await asyncio.to_thread(etcd.wait_until_healthy)
            restored = await asyncio.to_thread(
                run, "restore", "--force", "--skip-manager-check", *options, *key, str(tmp_path / "saved")
            )
            assert restored.returncode == 0, restored.stderr
            manager.resume()
            assert not await create_until_it_ends(manager, control)
            manager.start()
            control = await manager.ready()
            assert await names(control) == {"kept"}
        finally:
            manager.end()
            etcd.kill()

    asyncio.run(scenario())
