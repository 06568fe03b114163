"""Two agents' servers with certificates of one cluster, each with a directory of volumes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grpc import aio

from agent.streams.agent_streams import AgentStreamsService
from agent.volume_moves.move_source import MoveSource
from agent.volume_moves.move_target import MoveTarget
from agent.volume_moves.volume_data import VolumeDataService
from agent.volumes.local_volumes import LocalVolumes
from agent.worker.interfaces import VolumePart
from shoal.api.v1.container_pb2 import ContainerSpec, Mount, VolumeOptions
from shoal.api.v1.streams_pb2 import FetchVolumeRequest, OfferVolumeRequest
from shoal.api.v1.streams_pb2_grpc import AgentStreamsStub, add_AgentStreamsServicer_to_server
from shoal.api.v1.volume_data_pb2_grpc import add_VolumeDataServicer_to_server
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role, agent_server_name
from shoal.notifier import Notifier
from shoal.rpc import server_limits
from shoal.rpc.access import AGENT_STREAMS
from shoal.rpc.channel import connect_aio
from shoal.rpc.grpc_server import listen, make_server

CLUSTER = "cluster"
GRANT = b"g" * 32
COPY_MS = 2_000


def in_loop(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """A test that is a coroutine."""

    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    run.__name__ = test.__name__
    return run


class Node:
    """One agent, as far as volumes go."""

    def __init__(self, name: str, directory: Path, authority: Authority) -> None:
        self.name = name
        self.directory = directory
        self.identity = authority.issue(CertificateSubject(name, Role.AGENT, CLUSTER), datetime.now(UTC))
        self.used: set[VolumePart] = set()
        self.address = ""
        self.open()

    def open(self) -> None:
        """As after a start."""
        self.store = LocalVolumes(self.directory, lambda: 1_000, Notifier())
        self.source = MoveSource(self.store)
        self.target = MoveTarget(self.store, lambda: self.identity)

    def data(self, volume_id: str = "v1", name: str = "data") -> Path:
        """The data of a volume that a task here has."""
        mount = Mount(type=Mount.VOLUME, source=volume_id, target="/data", volume=VolumeOptions(name=name))
        return self.store.ensure(ContainerSpec(mounts=[mount]), 1)["/data"].data

    @asynccontextmanager
    async def serving(self, address: str = "127.0.0.1:0") -> AsyncGenerator[aio.Server]:
        """Its server is up."""
        nothing: Any = None
        server = make_server(AGENT_STREAMS, limits=server_limits.AGENT_STREAMS)
        streams = AgentStreamsService(
            logs=nothing,
            prober=nothing,
            diagnosis=nothing,
            stats=nothing,
            controller=nothing,
            exec_runtime=nothing,
            sizes=nothing,
            source=self.source,
            target=self.target,
            now_ns=lambda: 0,
        )
        add_AgentStreamsServicer_to_server(streams, server)
        add_VolumeDataServicer_to_server(VolumeDataService(self.source), server)
        port = listen(server, address, lambda: self.identity)
        self.address = f"127.0.0.1:{port}"
        await server.start()
        running = asyncio.create_task(self.store.run(lambda: self.used))
        await asyncio.sleep(0)  # it has begun
        try:
            yield server
        finally:
            running.cancel()
            await server.stop(0)

    def asked(self, identity: Identity) -> aio.Channel:
        """A channel to it."""
        return connect_aio([self.address], identity, server_name=agent_server_name(self.name))


class Pair:
    """Two nodes and a manager's certificate."""

    def __init__(self, directory: Path) -> None:
        authority = Authority.create(CLUSTER, datetime.now(UTC))
        self.authority = authority
        self.manager = authority.issue(CertificateSubject("manager", Role.MANAGER, CLUSTER), datetime.now(UTC))
        self.h1 = Node("h1", directory / "h1", authority)
        self.h2 = Node("h2", directory / "h2", authority)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Both are up."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.h1.serving())
            await stack.enter_async_context(self.h2.serving())
            yield

    async def request(self, *, replace: bool = False) -> FetchVolumeRequest:
        """The first node offers the volume to the second one.

        Raises: grpc.RpcError
        """
        async with self.h1.asked(self.manager) as channel:
            offer = await AgentStreamsStub(channel).OfferVolume(
                OfferVolumeRequest(volume_id="v1", to_node_id="h2", token=GRANT)
            )
        return FetchVolumeRequest(
            volume_id="v1",
            name="data",
            from_node_id="h1",
            from_address=self.h1.address,
            token=GRANT,
            offer=offer,
            created_at_ms=COPY_MS,
            replace=replace,
        )

    async def fetch(self, request: FetchVolumeRequest, stop_after: Callable[[int], bool] = lambda _: False) -> bool:
        """As a manager has it fetched; whether it was complete.

        Raises: grpc.RpcError
        """
        complete = False
        async with self.h2.asked(self.manager) as channel:
            call = AgentStreamsStub(channel).FetchVolume(request)
            async for progress in call:
                complete = progress.complete
                if stop_after(progress.bytes):
                    call.cancel()
                    break
        return complete
