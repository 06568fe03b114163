"""Results of builds that go to the client: one file as it comes, or a directory by fsutil's protocol."""

import asyncio
import tempfile
from typing import IO, Any, Protocol

import grpc

from engine.buildkit.session.client_session import ClientSession
from engine.buildkit.session.directory_index import DirectoryIndex, FileInArchive
from engine.buildkit.v1.filesync_pb2 import BytesMessage
from engine.buildkit.v1.fsutil_pb2 import Packet
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Unavailable

METHOD = "/moby.filesync.v1.FileSend/DiffCopy"
_EXPORTER = "buildkit-attachable-exporter-id"
_PIECE_BYTES = 1 << 20


class ResultSink(Protocol):
    """Where the bytes of a result go. `finish` comes once, after the last byte; `close` always."""

    async def write(self, data: bytes) -> None:
        """Raises ShoalError: the client has gone, or refuses."""

    async def finish(self) -> None:
        """All of it is there: returns when the client has it. Raises ShoalError."""

    async def close(self) -> None:
        """Give up what is not finished."""


class FileSink:
    """The result is one file of the client, which is written while it comes.

    Args:
        exporter: number of the exporter in the client's request.
    Raises:
        NotFound: the client takes no files.
    """

    def __init__(self, session: ClientSession, exporter: int) -> None:
        _check(session)
        self._call: Any = session.channel.stream_stream(
            METHOD,
            request_serializer=BytesMessage.SerializeToString,
            response_deserializer=BytesMessage.FromString,
        )(metadata=[(_EXPORTER, str(exporter))])

    async def write(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), _PIECE_BYTES):
                await self._call.write(BytesMessage(data=data[start : start + _PIECE_BYTES]))
        except (grpc.RpcError, asyncio.InvalidStateError):
            await self._ended()
            raise Unavailable("the client has ended the transfer of the result") from None

    async def finish(self) -> None:
        await self._call.done_writing()
        await self._ended()

    async def close(self) -> None:
        self._call.cancel()

    async def _ended(self) -> None:
        try:
            async for _ in self._call:
                pass
        except grpc.RpcError as error:
            raise _error_of(error) from error


class DirectorySink:
    """The result is a directory of the client. It comes as an archive, which is kept on disk until it is whole.

    Args:
        exporter: number of the exporter in the client's request.
    Raises:
        NotFound: the client takes no files.
    """

    def __init__(self, session: ClientSession, exporter: int) -> None:
        _check(session)
        self._session = session
        self._exporter = exporter
        self._archive: IO[bytes] = tempfile.TemporaryFile(prefix="shoal-engine-")  # noqa: SIM115  # closed by `close`

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._archive.write, data)

    async def finish(self) -> None:
        index = await asyncio.to_thread(DirectoryIndex.read, self._archive)
        call: Any = self._session.channel.stream_stream(
            METHOD,
            request_serializer=Packet.SerializeToString,
            response_deserializer=Packet.FromString,
        )(metadata=[(_EXPORTER, str(self._exporter))])
        try:
            await _DirectoryTransfer(call, self._archive, index).run()
        except grpc.RpcError as error:
            raise _error_of(error) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        self._archive.close()


class _DirectoryTransfer:
    """Tells of all files, and sends the contents that the client asks for."""

    def __init__(self, call: Any, archive: IO[bytes], index: DirectoryIndex) -> None:
        self._call = call
        self._archive = archive
        self._index = index
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Raises grpc.RpcError; Unavailable: the client has ended it, or says why it cannot go on."""
        listing = asyncio.create_task(self._list())
        try:
            async for packet in self._call:
                if packet.type == Packet.PACKET_REQ:
                    await self._send(packet.id)
                elif packet.type == Packet.PACKET_ERR:
                    raise Unavailable(f"error from receiver: {packet.data.decode(errors='replace')[:1000]}")
                elif packet.type == Packet.PACKET_FIN:
                    await listing
                    await self._write(Packet(type=Packet.PACKET_FIN))
                    await self._call.done_writing()
                    break
            else:
                raise Unavailable("the client has ended the transfer of the result")
            async for _ in self._call:  # until it has closed the call
                pass
        finally:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    async def _list(self) -> None:
        for each in self._index.files:
            await self._write(Packet(type=Packet.PACKET_STAT, stat=each.stat))
        await self._write(Packet(type=Packet.PACKET_STAT))

    async def _send(self, number: int) -> None:
        if number >= len(self._index.files):
            raise InvalidInput(f"invalid file id {number}")
        file = self._index.files[number]
        at = 0
        while at < file.stat.size:
            data = await asyncio.to_thread(self._read, file, at)
            await self._write(Packet(type=Packet.PACKET_DATA, id=number, data=data))
            at += len(data)
        await self._write(Packet(type=Packet.PACKET_DATA, id=number))

    def _read(self, file: FileInArchive, at: int) -> bytes:
        self._archive.seek(file.offset + at)
        data = self._archive.read(min(_PIECE_BYTES, file.stat.size - at))
        if not data:
            raise InvalidInput("the archive of the result is not whole")
        return data

    async def _write(self, packet: Packet) -> None:
        async with self._writing:
            await self._call.write(packet)


def _check(session: ClientSession) -> None:
    if not session.serves(METHOD):
        raise NotFound(f"method {METHOD} not supported by the client")


def _error_of(error: grpc.RpcError) -> Exception:
    code, text = getattr(error, "code", lambda: None)(), getattr(error, "details", lambda: "")() or str(error)
    if code is grpc.StatusCode.ALREADY_EXISTS:
        return AlreadyExists(text[:1000])
    return Unavailable(f"the client does not take the result: {text[:1000]}")
