"""A server that answers every request with the same bytes, whatever they mean."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP/1.1 answer with these headers beside its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def rogue_registry(*pieces: bytes, pause_seconds: float = 0.0) -> AsyncGenerator[str]:
    """`host:port` of one; it sends these pieces, waits between them, and closes the connection."""

    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_seconds)
        except (OSError, asyncio.IncompleteReadError):
            return  # the client has had enough
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            await asyncio.gather(*served)
