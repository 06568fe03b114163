"""A manager that starts while etcd has no majority serves reads, says so, and takes part again by itself."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from manager.etcd.left_processes import running_on
from shoal.api.v1.control_pb2 import CompactStoreRequest, CreateNetworkRequest, ListNetworksRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.rpc.read_revisions import stale_since_ms
from tests.integration.manager.manager_process import until
from tests.integration.manager.test_managers_that_join import Managers, one_manager
from tests.integration.manager.test_silence import shoal

ANSWER_SECONDS = 10.0


async def listed(control: Any) -> tuple[set[str], int]:
    """The networks that a manager knows, and since when it is disconnected; nothing while it does not answer."""
    call = control.ListNetworks(ListNetworksRequest(), timeout=ANSWER_SECONDS)
    try:
        found = {each.network.spec.name for each in (await call).networks}
    except aio.AioRpcError:
        return set(), 0
    return found, stale_since_ms(await call.trailing_metadata())


async def scenario(managers: Managers) -> None:
    await managers.join("m2")
    await managers.until_created("m1", "before")
    await until(lambda: knows(managers, "m2", "before"), "m2 has it")
    for each in managers.processes.values():
        each.kill()
        await until(partial(has_ended, each.state / "etcd" / "data"), "its etcd has ended")
    lost_ms = time.time_ns() // 1_000_000
    alone = managers.processes["m2"]
    alone.start()
    assert alone.process is not None
    pid, control = alone.process.pid, managers.controls["m2"]
    await until(lambda: knows(managers, "m2", "before"), "m2 serves reads alone")
    names, since_ms = await listed(control)
    assert names == {"before"} and 0 < since_ms <= lost_ms + 1000
    with pytest.raises(aio.AioRpcError, match="nothing was changed") as caught:
        await control.CreateNetwork(CreateNetworkRequest(spec=NetworkSpec(name="lost")), timeout=ANSWER_SECONDS)
    assert caught.value.code() is StatusCode.UNAVAILABLE
    code, said = await asyncio.to_thread(shoal, alone, "network", "ls")
    assert code == 0 and "before" in said and "disconnected from etcd since" in said, said
    assert "etcd has no majority: only reads are served" in alone.log
    managers.processes["m1"].start()
    await until(lambda: managers.create("m2", "after"), "m2 writes again")
    await until(lambda: knows(managers, "m1", "after"), "m1 has it")
    names, since_ms = await listed(control)
    assert names == {"before", "after"} and not since_ms
    assert alone.process.poll() is None and alone.process.pid == pid
    await until(lambda: managers.votes("m2", "m2"), "m2 is registered")
    await until(lambda: managers.votes("m1", "m2"), "m1 is registered")
    compacted = (await control.CompactStore(CompactStoreRequest(), timeout=30)).members
    assert len(compacted) == 2 and all(each.database_bytes and not each.problem for each in compacted)
    assert not (alone.state / "copy").exists()


async def has_ended(data: Path) -> bool:
    return not running_on(data, Path("/proc"))


async def knows(managers: Managers, name: str, network: str) -> bool:
    return network in (await listed(managers.controls[name]))[0]


def test_reads_are_served_until_there_is_a_majority_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with one_manager(tmp_path) as managers:
            await scenario(managers)

    asyncio.run(run())
