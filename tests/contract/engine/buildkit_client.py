"""What buildx does, in Python: calls on one connection that was taken over, services of a session on another."""

import asyncio
import stat
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from grpc import StatusCode, aio, method_handlers_generic_handler, stream_stream_rpc_method_handler

from engine.buildkit.translation.go_modes import to_go_mode
from engine.buildkit.v1.control_pb2 import Exporter, SolveRequest, StatusRequest, StatusResponse
from engine.buildkit.v1.control_pb2_grpc import ControlStub
from engine.buildkit.v1.filesync_pb2 import BytesMessage, CredentialsRequest, CredentialsResponse
from engine.buildkit.v1.filesync_pb2_grpc import (
    AuthServicer,
    FileSyncServicer,
    add_AuthServicer_to_server,
    add_FileSyncServicer_to_server,
)
from engine.buildkit.v1.fsutil_pb2 import Packet, Stat
from engine.buildkit.v1.gateway_pb2 import PingRequest, Result, ReturnRequest, Status
from engine.buildkit.v1.gateway_pb2 import SolveRequest as FrontendRequest
from engine.buildkit.v1.gateway_pb2_grpc import LLBBridgeStub
from engine.buildkit.v1.ops_pb2 import Definition
from engine.buildkit.v1.secrets_pb2 import GetSecretRequest, GetSecretResponse
from engine.buildkit.v1.secrets_pb2_grpc import SecretsServicer, add_SecretsServicer_to_server
from engine.buildkit.v1.ssh_pb2 import BytesMessage as SshMessage
from engine.buildkit.v1.ssh_pb2 import CheckAgentRequest, CheckAgentResponse
from engine.buildkit.v1.ssh_pb2_grpc import SSHServicer, add_SSHServicer_to_server
from engine.buildkit.v1.upload_pb2 import BytesMessage as UploadMessage
from engine.buildkit.v1.upload_pb2_grpc import UploadServicer, add_UploadServicer_to_server

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

Send = Callable[[AsyncIterator[Packet], "SyncedDirectory"], AsyncGenerator[Packet]]


class SyncedDirectory(FileSyncServicer):
    """Directories that the client gives, by their names.

    Attributes:
        asked: metadata of each transfer.
    """

    def __init__(self, directories: Mapping[str, Path], send: Send | None = None) -> None:
        self.directories = directories
        self.asked: list[dict[str, list[str]]] = []
        self._send = send or send_files

    async def DiffCopy(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[Packet], context: aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[Packet]:
        asked: dict[str, list[str]] = {}
        for key, value in context.invocation_metadata() or ():
            asked.setdefault(key, []).append(str(value))
        self.asked.append(asked)
        if asked["dir-name"][0] not in self.directories:
            await context.abort(StatusCode.NOT_FOUND, f'no access allowed to dir "{asked["dir-name"][0]}"')
        async for packet in self._send(request_iterator, self):
            yield packet


async def send_files(requests: AsyncIterator[Packet], synced: SyncedDirectory) -> AsyncGenerator[Packet]:
    """As fsutil sends: all files, and the contents that are asked for. Excluded paths are those named exactly."""
    asked = synced.asked[-1]
    root = synced.directories[asked["dir-name"][0]]
    paths = sorted(root.rglob("*"), key=lambda each: each.relative_to(root).parts)
    follow, exclude = asked.get("followpaths"), asked.get("exclude-patterns", [])
    names = [str(each.relative_to(root)) for each in paths]
    names = [each for each in names if (follow is None or each in follow) and each not in exclude]
    for name in names:
        yield Packet(type=Packet.PACKET_STAT, stat=stat_of(root, name))
    yield Packet(type=Packet.PACKET_STAT)
    async for packet in requests:
        if packet.type == Packet.PACKET_FIN:
            yield Packet(type=Packet.PACKET_FIN)
            return
        content = (root / names[packet.id]).read_bytes()
        for start in range(0, len(content), 32 << 10):
            yield Packet(type=Packet.PACKET_DATA, id=packet.id, data=content[start : start + (32 << 10)])
        yield Packet(type=Packet.PACKET_DATA, id=packet.id)


def stat_of(root: Path, name: str) -> Stat:
    """A file as it is sent."""
    status = (root / name).lstat()
    link = str((root / name).readlink()) if stat.S_ISLNK(status.st_mode) else ""
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Stat(path=name, mode=to_go_mode(status.st_mode), size=size, mod_time=status.st_mtime_ns, linkname=link)


class Secrets(SecretsServicer):
    """Secrets by id."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._values = values

    async def GetSecret(  # noqa: N802  # named by the protocol
        self, request: GetSecretRequest, context: aio.ServicerContext[Any, Any]
    ) -> GetSecretResponse:
        if request.id not in self._values:
            await context.abort(StatusCode.NOT_FOUND, f"secret {request.id}: not found")
        return GetSecretResponse(data=self._values[request.id])


class Auth(AuthServicer):
    """Credentials by host: user and password."""

    def __init__(self, credentials: Mapping[str, tuple[str, str]]) -> None:
        self._credentials = credentials

    async def Credentials(  # noqa: N802  # named by the protocol
        self, request: CredentialsRequest, context: aio.ServicerContext[Any, Any]
    ) -> CredentialsResponse:
        username, secret = self._credentials.get(request.host, ("", ""))
        return CredentialsResponse(username=username, secret=secret)


class Upload(UploadServicer):
    """What the client reads from its standard input."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def Pull(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[UploadMessage], context: aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[UploadMessage]:
        assert dict(context.invocation_metadata() or ())["urlpath"] == "/in"
        for start in range(0, len(self._data), 1 << 20):
            yield UploadMessage(data=self._data[start : start + (1 << 20)])


class SshAgent(SSHServicer):
    """An agent that answers each message with a text. Attributes: received: what was sent to it."""

    def __init__(self, reply: bytes) -> None:
        self.received = bytearray()
        self._reply = reply

    async def CheckAgent(  # noqa: N802  # named by the protocol
        self, request: CheckAgentRequest, context: aio.ServicerContext[Any, Any]
    ) -> CheckAgentResponse:
        if request.id != "default":
            await context.abort(StatusCode.UNKNOWN, f"unset ssh forward key {request.id}")
        return CheckAgentResponse()

    async def ForwardAgent(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[SshMessage], context: aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[SshMessage]:
        assert dict(context.invocation_metadata() or ())["buildkit.ssh.id"] == "default"
        async for message in request_iterator:
            self.received += message.data
            framed = len(self._reply).to_bytes(4, "big") + self._reply
            yield SshMessage(data=framed[:2])
            yield SshMessage(data=framed[2:])


class ResultReceiver:
    """Takes a result, as one file or as a directory.

    Attributes:
        data: the file. files: the directory, contents by path.
    """

    def __init__(self, *, is_directory: bool) -> None:
        self.data = bytearray()
        self.stats: list[Stat] = []
        self.contents: dict[str, bytes] = {}
        self._is_directory = is_directory

    def add_to(self, server: aio.Server) -> None:
        """Serve `FileSend`."""
        handler: Any = stream_stream_rpc_method_handler(
            self._receive_directory if self._is_directory else self._receive_file,
            request_deserializer=Packet.FromString if self._is_directory else BytesMessage.FromString,
            response_serializer=Packet.SerializeToString if self._is_directory else BytesMessage.SerializeToString,
        )
        service = method_handlers_generic_handler("moby.filesync.v1.FileSend", {"DiffCopy": handler})
        server.add_generic_rpc_handlers((service,))

    async def _receive_file(
        self, requests: AsyncIterator[BytesMessage], context: aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[BytesMessage]:
        async for message in requests:
            self.data += message.data
        nothing: tuple[BytesMessage, ...] = ()
        for message in nothing:
            yield message

    async def _receive_directory(
        self, requests: AsyncIterator[Packet], context: aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[Packet]:
        async for packet in requests:
            if packet.type == Packet.PACKET_STAT and packet.HasField("stat"):
                self.stats.append(packet.stat)
            elif packet.type == Packet.PACKET_STAT:
                break
        for number, each in enumerate(self.stats):
            if each.linkname or each.mode & ~0o7777 & ~(0b111 << 20):
                continue
            yield Packet(type=Packet.PACKET_REQ, id=number)
            content = bytearray()
            async for packet in requests:
                assert (packet.type, packet.id) == (Packet.PACKET_DATA, number)
                if not packet.data:
                    break
                content += packet.data
            self.contents[each.path] = bytes(content)
        yield Packet(type=Packet.PACKET_FIN)
        async for packet in requests:
            assert packet.type == Packet.PACKET_FIN


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
            async with asyncio.timeout(10):
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


def serving(*services: Any) -> list[Callable[[aio.Server], None]]:
    """What adds services to the server of a session."""
    adders: list[tuple[type, Any]] = [
        (SyncedDirectory, add_FileSyncServicer_to_server),
        (Secrets, add_SecretsServicer_to_server),
        (Auth, add_AuthServicer_to_server),
        (Upload, add_UploadServicer_to_server),
        (SshAgent, add_SSHServicer_to_server),
    ]
    found: list[Callable[[aio.Server], None]] = []
    for service in services:
        add = next(add for kind, add in adders if isinstance(service, kind))
        found.append(partial(add, service))
    return found
