"""What BuildKit's API refuses: what is not served, what is forbidden, clients that break the protocol."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from engine.buildkit.v1.control_pb2 import (
    Exporter,
    SolveRequest,
)
from engine.buildkit.v1.control_pb2_grpc import ControlStub
from engine.buildkit.v1.fsutil_pb2 import Packet, Stat
from engine.buildkit.v1.ops_pb2 import Definition
from tests.contract.engine.builds.build_node import BuildNode
from tests.contract.engine.builds.build_runs import context_of, of, run
from tests.contract.engine.builds.buildkit_client import BuildkitClient
from tests.contract.engine.builds.session_services import (
    Send,
    SyncedDirectory,
    send_files,
)
from tests.contract.engine.rig.raw_http import request
from tests.contract.engine.rig.served import Served


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"frontend": "gateway.v0"}, "frontend 'gateway.v0' is not supported"),
        ({"options": {"requestid": "frontend.outline"}}, "subrequest 'frontend.outline' is not supported"),
        ({"options": {"platform": "linux/amd64,linux/arm64"}}, "several platforms"),
        ({"options": {"attest:sbom": ""}}, "sbom is not supported"),
        ({"exporters": [Exporter(type="tar"), Exporter(type="oci")]}, "several outputs"),
        ({"exporter": Exporter(type="nydus")}, "exporter 'nydus' is not supported"),
        ({"options": {"force-network-mode": "bridge"}}, "invalid netmode bridge"),
        ({"options": {"context:a": "oci-layout://x"}}, "oci-layout is not supported"),
    ],
)
def test_what_is_not_served_is_refused_by_name(
    engine: Served, node: BuildNode, tmp_path: Path, more: dict[str, Any], text: str
) -> None:
    context = context_of(tmp_path, "FROM scratch")
    with pytest.raises(aio.AioRpcError) as caught:
        run(engine, of(context), **more)
    assert text in str(caught.value.details())
    assert not node.starts


@pytest.mark.parametrize("entitlement", ["network.host", "security.insecure"])
def test_entitlements_that_are_forbidden_are_refused(
    engine: Served, node: BuildNode, tmp_path: Path, entitlement: str
) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        run(engine, of(context_of(tmp_path, "FROM scratch")), entitlements=[entitlement])
    assert "authorization denied by plugin shoal-engine" in str(caught.value.details())
    assert not node.starts


def test_llb_of_clients_is_refused(engine: Served) -> None:
    async def call() -> None:
        async with BuildkitClient(engine.socket).connection() as channel:
            control: Any = ControlStub(channel)
            await control.Solve(SolveRequest(ref="a", definition=Definition(operations=[b"x"])))

    with pytest.raises(aio.AioRpcError, match="LLB of clients is not supported"):
        asyncio.run(call())


def _sent(*packets: Packet) -> Send:
    async def send(requests: AsyncIterator[Packet], synced: SyncedDirectory) -> AsyncGenerator[Packet]:
        for packet in packets:
            yield packet
        async for _ in requests:
            pass

    return send


_END = Packet(type=Packet.PACKET_STAT)


@pytest.mark.parametrize(
    ("packets", "text"),
    [
        ([Packet(type=Packet.PACKET_ERR, data=b"disk")], "error from sender: disk"),
        ([Packet(type=Packet.PACKET_DATA, id=7, data=b"x")], "invalid file request 7"),
        ([Packet(type=Packet.PACKET_REQ, id=0)], "a packet that only receivers send"),
        ([Packet(stat=Stat(path="Dockerfile", mode=0o644, size=1 << 40)), _END], "Dockerfile is too large"),
        ([_END, Packet(type=Packet.PACKET_FIN)], "open Dockerfile: no such file or directory"),
    ],
)
def test_clients_that_break_the_protocol_are_refused(
    engine: Served, node: BuildNode, tmp_path: Path, packets: list[Packet], text: str
) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        run(engine, of(tmp_path), send=_sent(*packets))
    assert text in str(caught.value.details())
    assert not node.starts


def test_paths_that_leave_the_context_are_refused(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM scratch", "COPY . /")

    async def send(requests: AsyncIterator[Packet], synced: SyncedDirectory) -> AsyncGenerator[Packet]:
        if "followpaths" in synced.asked[-1]:
            async for packet in send_files(requests, synced):
                yield packet
            return
        yield Packet(stat=Stat(path="../x", mode=0o644))
        yield _END
        async for _ in requests:
            pass

    with pytest.raises(aio.AioRpcError, match=r"invalid path: '\.\./x'"):
        run(engine, of(context), send=send)
    assert node.ended == 1


def test_a_directory_that_the_client_does_not_give_is_named(engine: Served, tmp_path: Path) -> None:
    with pytest.raises(aio.AioRpcError, match="the client gives no directory 'dockerfile'"):
        run(engine, {"context": tmp_path})


def test_connections_that_are_not_upgraded_are_refused(engine: Served) -> None:
    for path in ("/grpc", "/session"):
        status, _, body = request(engine.socket, "POST", path)
        assert (status, b"must be upgraded to h2c" in body) == (400, True)
