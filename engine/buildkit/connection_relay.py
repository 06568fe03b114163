"""Bytes between a connection that was taken over from HTTP and a Unix socket, since gRPC takes no open connection."""

import asyncio
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.server.hijack import RawStream

_READ_BYTES = 256 * 1024


@contextmanager
def private_socket() -> Generator[Path]:
    """A path for a Unix socket that nobody else may open; it is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="shoal-engine-", ignore_cleanup_errors=True) as directory:
        yield Path(directory) / "grpc.sock"


async def relay(stream: RawStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one of both has ended; then both are closed."""
    tasks = {asyncio.create_task(_inwards(stream, writer)), asyncio.create_task(_outwards(reader, stream))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        with suppress(ConnectionError):
            await stream.close()


async def _inwards(stream: RawStream, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await stream.read():
            writer.write(data)
            await writer.drain()


async def _outwards(reader: asyncio.StreamReader, stream: RawStream) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_READ_BYTES):
            await stream.write(data)
