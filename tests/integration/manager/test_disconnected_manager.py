"""A manager is disconnected from etcd: it answers reads and says that they may be old, and changes nothing."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from shoal.api.v1.control_pb2 import CreateNetworkRequest, ListNetworksRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.identity.identity import Identity
from shoal.rpc.read_revisions import stale_since_ms
from tests.contract.engine.rig.raw_http import request
from tests.integration.manager.engine_process import EngineProcess
from tests.integration.manager.manager_process import EtcdProcess, ManagerProcess, until
from tests.integration.manager.test_silence import shoal

ANSWER_SECONDS = 10.0
"""Within which a change fails; after the call's own deadline it would be another error."""


async def listed(control: Any) -> tuple[set[str], int]:
    """The networks that a manager knows, and since when it is disconnected."""
    call = control.ListNetworks(ListNetworksRequest(), timeout=ANSWER_SECONDS)
    found = {each.network.spec.name for each in (await call).networks}
    return found, stale_since_ms(await call.trailing_metadata())


async def create(control: Any, name: str) -> None:
    await control.CreateNetwork(CreateNetworkRequest(spec=NetworkSpec(name=name)), timeout=ANSWER_SECONDS + 1)


def ask_engine(engine: EngineProcess) -> None:
    """Its reads are marked too, and its changes fail in time."""
    status, headers, answer = request(engine.socket, "GET", "/networks")
    assert status == 200 and b"before" in answer and headers["shoal-stale-since"].startswith("20"), headers
    started = time.monotonic()
    status, _, answer = request(engine.socket, "POST", "/networks/create", body=b'{"Name": "engines"}')
    assert status == 503 and b"nothing was changed: start the managers" in answer, answer
    assert time.monotonic() - started < ANSWER_SECONDS


async def scenario(etcd: EtcdProcess, manager: ManagerProcess, engine: EngineProcess) -> None:
    manager.start()
    control = await manager.ready()
    engine.create_context(Identity.load(manager.state / "engine"), [manager.api])
    await asyncio.to_thread(engine.start)
    _, headers, _ = await asyncio.to_thread(request, engine.socket, "GET", "/networks")
    assert "shoal-stale-since" not in headers
    await create(control, "before")
    assert await listed(control) == ({"before"}, 0)
    assert etcd.process is not None
    etcd.process.send_signal(signal.SIGSTOP)
    with pytest.raises(aio.AioRpcError, match="may have been applied"):
        await create(control, "at-once")

    async def is_disconnected() -> bool:
        return bool((await listed(control))[1])

    await until(is_disconnected, "the manager says that it is disconnected")
    assert "before" in (await listed(control))[0]
    await asyncio.to_thread(ask_engine, engine)
    code, said = await asyncio.to_thread(shoal, manager, "network", "ls")
    assert code == 0 and "before" in said and "disconnected from etcd since" in said, said
    with pytest.raises(aio.AioRpcError, match="nothing was changed") as caught:
        await create(control, "later")
    assert caught.value.code() is StatusCode.UNAVAILABLE
    etcd.process.send_signal(signal.SIGCONT)

    async def is_back() -> bool:
        try:
            await create(control, "after")
        except aio.AioRpcError as error:
            return error.code() is StatusCode.ALREADY_EXISTS
        return True

    await until(is_back, "changes are made again")
    names, since = await listed(control)
    assert {"before", "after"} <= names and "later" not in names and not since


def test_reads_may_be_old_and_changes_fail_until_etcd_answers_again(tmp_path: Path) -> None:
    etcd = EtcdProcess(tmp_path / "etcd")
    manager = ManagerProcess(tmp_path / "manager", more=("--etcd-endpoint", etcd.endpoint))
    engine = EngineProcess(tmp_path / "engine")
    etcd.start()
    try:
        etcd.wait_until_healthy()
        asyncio.run(scenario(etcd, manager, engine))
    finally:
        engine.end()
        manager.end()
        etcd.kill()
