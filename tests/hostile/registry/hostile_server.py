"""HTTP servers on loopback that answer as a test says, byte for byte, and remember what they were asked."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cli.images.pack import PackedImage
from tests.integration.registry_fixture import CertifiedKey


@dataclass(frozen=True)
class Request:
    """What a client asked; names of headers in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path


Answer = bytes | AsyncIterator[bytes]
Handler = Callable[[Request], Answer]


@dataclass
class Server:
    """One server; `where` is `host:port`, `open` the connections at this moment."""

    where: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    @property
    def authorizations(self) -> list[str]:
        """The credentials that it was sent."""
        return [each.headers["authorization"] for each in self.requests if "authorization" in each.headers]


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """An answer with these headers beside its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def head(length: int, *headers: str, status: str = "200 OK") -> bytes:
    """The beginning of an answer of so many bytes."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {length}", *headers, "", ""]).encode()


def redirect(location: str) -> bytes:
    """To another place."""
    return answer(b"", f"Location: {location}", status="307 Temporary Redirect")


def refuse(challenge: str, message: str = "") -> bytes:
    """A 401 with a challenge."""
    body = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
    return answer(body, f"WWW-Authenticate: {challenge}", status="401 Unauthorized")


def failure(status: str, message: str) -> bytes:
    """A refusal that has something to say."""
    return answer(json.dumps({"errors": [{"message": message}]}).encode(), status=status)


async def drip(beginning: bytes, piece: bytes, *, seconds: float, times: int = 1 << 30) -> AsyncIterator[bytes]:
    """A beginning, then the same piece again and again."""
    yield beginning
    for _ in range(times):
        await asyncio.sleep(seconds)
        yield piece


async def endless(beginning: bytes, piece: bytes) -> AsyncIterator[bytes]:
    """The same, as fast as it is taken."""
    yield beginning
    while True:
        yield piece


def serving(image: PackedImage, *, blobs: Mapping[str, Handler] | None = None) -> Handler:
    """A registry of one image under any name and tag, with answers of its own for some blobs."""

    def handle(request: Request) -> Answer:
        target = request.path.rpartition("/")[2]
        if blobs and target in blobs:
            return blobs[target](request)
        if "/blobs/" in request.path or target.startswith("sha256:"):
            content = image.blobs[target]
        else:
            content = image.blobs[image.manifest.digest]
        return answer(content, f"Content-Type: {image.manifest.media_type}")

    return handle


@asynccontextmanager
async def server(
    handler: Handler, *, addresses: Sequence[str] = ("127.0.0.1",), port: int = 0, tls: CertifiedKey | None = None
) -> AsyncGenerator[Server]:
    """Run one; whatever it still has to say at the end is dropped."""
    found = Server("")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        found.connections += 1
        found.open += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    found.requests.append(request := await _request(reader))
                    await _say(writer, handler(request))
        finally:
            found.open -= 1
            tasks.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    listening = await asyncio.start_server(serve, list(addresses), port, ssl=_context(tls), limit=1 << 20)
    async with listening:
        host, found_port = listening.sockets[0].getsockname()[:2]
        found.where = f"[{host}]:{found_port}" if ":" in host else f"{host}:{found_port}"
        try:
            yield found
        finally:
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks)


async def _request(reader: asyncio.StreamReader) -> Request:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    pairs = [line.partition(":") for line in lines[1:] if line]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers)


async def _say(writer: asyncio.StreamWriter, said: Answer) -> None:
    if isinstance(said, bytes):
        writer.write(said)
        await writer.drain()
        return
    async for piece in said:
        writer.write(piece)
        await writer.drain()
    raise ConnectionAbortedError  # where it ends early, that is the end


def _context(tls: CertifiedKey | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    return context
