"""What buildx serves in a session: files, secrets, logins, SSH agents, and what receives results."""

import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from grpc import StatusCode, aio, method_handlers_generic_handler, stream_stream_rpc_method_handler

from engine.buildkit.v1.filesync_pb2 import BytesMessage, CredentialsRequest, CredentialsResponse
from engine.buildkit.v1.filesync_pb2_grpc import (
    AuthServicer,
    FileSyncServicer,
    add_AuthServicer_to_server,
    add_FileSyncServicer_to_server,
)
from engine.buildkit.v1.fsutil_pb2 import Packet, Stat
from engine.buildkit.v1.secrets_pb2 import GetSecretRequest, GetSecretResponse
from engine.buildkit.v1.secrets_pb2_grpc import SecretsServicer, add_SecretsServicer_to_server
from engine.buildkit.v1.ssh_pb2 import BytesMessage as SshMessage
from engine.buildkit.v1.ssh_pb2 import CheckAgentRequest, CheckAgentResponse
from engine.buildkit.v1.ssh_pb2_grpc import SSHServicer, add_SSHServicer_to_server
from engine.buildkit.v1.upload_pb2 import BytesMessage as UploadMessage
from engine.buildkit.v1.upload_pb2_grpc import UploadServicer, add_UploadServicer_to_server
from engine.protocol.go_modes import to_go_mode

_SEND = "/moby.filesync.v1.FileSend/DiffCopy"
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
