"""What was read before a backup was restored is out of date afterwards, also once the new etcd has come as far."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer, etcd_server
from manager.store.backend import Put
from manager.store.kinds import SERVICE
from shoal.api.v1.control_pb2 import CreateServiceRequest, GetServiceRequest, UpdateServiceRequest
from shoal.api.v1.service_pb2 import Service
from shoal.rpc.read_revisions import MIN_REVISION_KEY, reported_revision
from tests.integration.manager.manager_process import ManagerProcess, running_manager
from tests.integration.manager.test_restored import on
from tests.integration.manager.test_two_managers import web


async def read(control: Any) -> Service:
    service: Service = (await control.GetService(GetServiceRequest(service="web"))).service
    return service


async def update(control: Any, version: int, label: str) -> Service:
    spec = web("web", 0)
    spec.labels["of"] = label
    request = UpdateServiceRequest(service="web", version=version, spec=spec)
    await control.UpdateService(request)
    return await read(control)


async def give_again(state: Path, service: str, version: int) -> None:
    """Have etcd store the service once more, unchanged, at exactly this revision of its own."""
    server = EtcdServer(state)
    async with etcd_server(server) as etcd:
        key = SERVICE.key(service)
        stored = (await etcd.read([key])).records[key]
        assert stored.mod_revision < version
        while (await etcd.txn((), [Put(b"/elsewhere", b"")])).revision < version - 1:
            pass
        assert (await etcd.txn((), [Put(key, stored.value)])).revision == version


async def etcds_revision(state: Path, service: str) -> int:
    """The service's by etcd itself, while a manager runs it."""
    async with own_member(EtcdServer(state).socket) as members:
        key = SERVICE.key(service)
        return (await Etcd(members=members).read([key])).records[key].mod_revision


def test_an_update_with_a_version_of_before_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "shoal.backup"
        async with running_manager(tmp_path) as (manager, control):
            await control.CreateService(CreateServiceRequest(spec=web("web", 0)))
            at_backup = await read(control)
            saved = await on(manager, "backup", file)
            assert saved.returncode == 0, saved.stderr
            after = at_backup
            for number in range(30):
                after = await update(control, after.meta.version, f"lost{number}")
            call = control.GetService(GetServiceRequest(service="web"))
            await call
            seen = reported_revision(await call.trailing_metadata())
            assert seen >= after.meta.version

            control = await restored(manager, file, after)
            now = await read(control)
            assert dict(now.spec.labels) == {}
            assert now.meta.version > seen
            assert await etcds_revision(manager.state, now.meta.id) == after.meta.version
            for version in (at_backup.meta.version, after.meta.version):
                with pytest.raises(aio.AioRpcError, match="has changed since it was read") as refused:
                    await update(control, version, "stale")
                assert refused.value.code() is StatusCode.ABORTED
            # A client that has seen more of the former cluster than etcd has now is answered all the same.
            view = await control.GetService(
                GetServiceRequest(service="web"), metadata=((MIN_REVISION_KEY, str(seen)),), timeout=30
            )
            assert dict(view.service.spec.labels) == {}
            updated = await update(control, now.meta.version, "current")
            assert dict(updated.spec.labels) == {"of": "current"}
            assert updated.meta.version > now.meta.version

    asyncio.run(scenario())


async def restored(manager: ManagerProcess, file: Path, service: Service) -> Any:
    """Restore, have etcd give the service's version again, and start."""
    assert manager.stop() == 0
    shutil.rmtree(manager.state / "etcd")
    done = await on(manager, "restore", "--force", file)
    assert done.returncode == 0, done.stderr
    await give_again(manager.state, service.meta.id, service.meta.version)
    manager.start()
    return await manager.ready()
