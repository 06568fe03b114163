"""What buildx does, in Python: calls on one connection that was taken over, services of a session on another."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import aio

from engine.buildkit.v1.control_pb2 import Exporter, SolveRequest, StatusRequest, StatusResponse
from engine.buildkit.v1.control_pb2_grpc import ControlStub
from engine.buildkit.v1.gateway_pb2 import PingRequest, Result, ReturnRequest, Status
from engine.buildkit.v1.gateway_pb2 import SolveRequest as FrontendRequest
from engine.buildkit.v1.gateway_pb2_grpc import LLBBridgeStub
from engine.buildkit.v1.ops_pb2 import Definition

DETAILS = "grpc-status-details-bin"
_HEADER = "X-Docker-Expose-Session-"
_SEND = "/moby.filesync.v1.FileSend/DiffCopy"
_METHODS = (
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.upload.v1.Upload/Pull",
    "/moby.sshforward.v1.SSH/ForwardAgent",
    _SEND,
)


class BuildkitClient:
    """Args: engine: path of the engine's Unix socket."""

    def __init__(self, engine: Path) -> None:
        self._engine = engine

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[aio.Channel]:
        """A channel over `POST /grpc`."""
        reader, writer = await self._upgraded("/grpc", ())
        with tempfile.TemporaryDirectory() as directory:
            accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
            server = await asyncio.start_unix_server(lambda *both: accepted.put_nowait(both), Path(directory) / "s")
            async with aio.insecure_channel(f"unix:{directory}/s") as channel:
                channel.get_state(try_to_connect=True)
                pumping = asyncio.create_task(_pump(reader, writer, *await accepted.get()))
                try:
                    yield channel
                finally:
                    await channel.close()
                    writer.close()
                    await pumping
                    server.close()

    @asynccontextmanager
    async def session(
        self, identifier: str, *services: Callable[[aio.Server], None], methods: Sequence[str] = _METHODS
    ) -> AsyncGenerator[None]:
        """A session by `POST /session`."""
        headers = [f"{_HEADER}Uuid: {identifier}", *(f"{_HEADER}Grpc-Method: {each}" for each in methods)]
        reader, writer = await self._upgraded("/session", headers)
        with tempfile.TemporaryDirectory() as directory:
            server = aio.server()
            for each in services:
                each(server)
            server.add_insecure_port(f"unix:{directory}/s")
            await server.start()
            pumping = asyncio.create_task(_pump(reader, writer, *await asyncio.open_unix_connection(f"{directory}/s")))
            try:
                yield
            finally:
                writer.close()
                await pumping
                await server.stop(None)

    async def _upgraded(self, path: str, headers: Sequence[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self._engine)
        lines = [f"POST {path} HTTP/1.1", "Host: docker", "Connection: Upgrade", "Upgrade: h2c", *headers]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head
        assert "Upgrade: h2c\r\n" in head
        return reader, writer


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        except (ConnectionError, RuntimeError):
            pass
        target.close()

    await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))


class Solved:
    """What came of a solve.

    Attributes:
        result: of the frontend. response: of the exporter. progress: all of it as one message.
    """

    def __init__(self) -> None:
        self.result = Result()
        self.response: dict[str, str] = {}
        self.progress = StatusResponse()


async def solve(
    channel: aio.Channel,
    session: str,
    options: Mapping[str, str],
    *,
    ref: str = "r1",
    frontend: str = "dockerfile.v0",
    exporter: Exporter | None = None,
    exporters: Sequence[Exporter] = (),
    inputs: Mapping[str, Definition] | None = None,
    **more: Any,
) -> Solved:
    """A build as buildx makes it: the solve, the call of the frontend within it, and the progress at the same time.

    Raises:
        aio.AioRpcError: of the solve.
    """
    solved = Solved()
    control: Any = ControlStub(channel)
    all_exporters = [exporter] if exporter is not None else exporters
    request = SolveRequest(ref=ref, session=session, exporters=all_exporters, **more)
    async with AsyncExitStack() as stack:
        solving = asyncio.ensure_future(_answer(control.Solve(request)))
        following = asyncio.create_task(_follow(control, ref, solved))
        stack.callback(following.cancel)
        asked = FrontendRequest(frontend=frontend, frontend_opt=options, frontend_inputs=inputs or {})
        await _call_frontend(channel, ref, asked, solved)
        try:
            solved.response = dict((await solving).exporter_response)
        finally:
            async with asyncio.timeout(60):
                await following
    return solved


async def _answer(call: Awaitable[Any]) -> Any:
    return await call


async def _follow(control: Any, ref: str, solved: Solved) -> None:
    async for response in control.Status(StatusRequest(ref=ref)):
        solved.progress.MergeFrom(response)


async def _call_frontend(channel: aio.Channel, ref: str, request: FrontendRequest, solved: Solved) -> None:
    gateway: Any = LLBBridgeStub(channel)
    metadata = [("buildkit-controlapi-buildid", ref)]
    pong = await gateway.Ping(PingRequest(), metadata=metadata)
    assert {"return", "solve.base"} <= {each.id for each in pong.frontend_api_caps if each.enabled}
    returned = ReturnRequest()
    try:
        solved.result = (await gateway.Solve(request, metadata=metadata)).result
        returned.result.CopyFrom(solved.result)
    except aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ()).get(DETAILS, b"")
        assert isinstance(details, bytes)
        returned.error.CopyFrom(Status.FromString(details))
        assert returned.error.message == error.details()
    await gateway.Return(returned, metadata=metadata)


def error_details(error: aio.AioRpcError) -> Status:
    """The status of a call that has failed."""
    details = dict(error.trailing_metadata() or ())[DETAILS]
    assert isinstance(details, bytes)
    return Status.FromString(details)
