"""The manager is killed when it has read all records, and when etcd went away: what was acknowledged is there."""

import asyncio
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import CreateNetworkRequest, ListNetworksRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from tests.integration.faults.faulty_manager import await_death, start_with_faults
from tests.integration.manager.manager_process import EtcdProcess, running_manager

LISTED, WATCH_ENDED = STORE_POINTS = ("manager.store.listed", "manager.store.watch-ended")


async def create(control: Any, name: str) -> None:
    await control.CreateNetwork(CreateNetworkRequest(spec=NetworkSpec(name=name)), timeout=20)


async def names(control: Any) -> set[str]:
    return {each.network.spec.name for each in (await control.ListNetworks(ListNetworksRequest(), timeout=20)).networks}


def test_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        etcd = EtcdProcess(tmp_path / "etcd")
        etcd.start()
        try:
            await asyncio.to_thread(etcd.wait_until_healthy)
            async with running_manager(tmp_path, "--etcd-endpoint", etcd.endpoint) as (manager, control):
                await create(control, "first")
                manager.end()
                start_with_faults(manager, f"{LISTED}=kill")
                await await_death(manager, LISTED)
                start_with_faults(manager, f"{WATCH_ENDED}=kill")
                control = await manager.ready()
                await create(control, "second")
                etcd.kill()
                await await_death(manager, WATCH_ENDED)
                etcd.start()
                await asyncio.to_thread(etcd.wait_until_healthy)
                manager.start()
                control = await manager.ready()
                assert await names(control) == {"first", "second"}
                await create(control, "third")
        finally:
            etcd.kill()

    asyncio.run(scenario())
