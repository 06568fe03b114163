"""/api/files: a container's directories, and files in and out of it. Of services' tasks too, while they run."""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from aiohttp import web

from console.archives.single_file import SingleFile
from console.archives.uploaded_file import header_of, padding_of
from console.handlers.queries import flag_query
from console.server.json_answers import answer
from shoal.api.v1.engine_pb2 import ArchiveChunk, ArchiveRequest, PathStat, WriteArchiveRequest
from shoal.errors import ConnectionLost, Exhausted, InvalidInput
from shoal.manager_calls.managers import Managers

MAX_ENTRIES = 5000
"""Of a directory that a page shows."""
MAX_UPLOAD = 8 << 30
"""Bytes of one file."""
CHUNK = 256 << 10
"""Bytes of an archive in a message to a manager."""


class FileHandlers:
    """Calls about files. In the query: `container`, a container's or a task's name or id; `path`, absolute in it."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._containers = managers.containers

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/files", self.list)
        yield web.get("/api/files/content", self.download)
        yield web.post("/api/files/content", self.upload)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """What is in a directory; beyond the bound, `complete` is false."""
        found: list[dict[str, Any]] = []
        stream = self._managers.stream(self._containers.ListDirectory, _target(request))
        async with aclosing(stream) as batches:
            async for batch in batches:
                found += map(_entry, batch.entries)
                if len(found) > MAX_ENTRIES:
                    break
        return answer({"entries": found[:MAX_ENTRIES], "complete": len(found) <= MAX_ENTRIES})

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file as it is, or with `tar` in the query, and always of a directory, an archive."""
        stream = self._managers.stream(self._containers.ReadArchive, _target(request, follow=True))
        async with aclosing(stream) as chunks:
            first = await anext(chunks)  # an error of the call is an answer, and no half of a file
            as_file = _is_regular(first.stat) and not flag_query(request, "tar")
            name = first.stat.name.strip("/") or "root"
            response = web.StreamResponse(headers=attachment_headers(name if as_file else f"{name}.tar"))
            if as_file:
                response.content_length = first.stat.size
            await response.prepare(request)
            async with aclosing(_content(chunks, first.stat.size) if as_file else _archive(chunks)) as pieces:
                async for piece in pieces:
                    await response.write(piece)
            await response.write_eof()
            return response

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """The body is a file, which is put below the directory; `name` may have directories before it.

        What has that name there is replaced. After an error a part of the file may be there.
        """
        size = request.content_length
        if size is None or size > MAX_UPLOAD:
            raise InvalidInput(f"a file must say its size, and have {MAX_UPLOAD:,} bytes at most")
        header = header_of(request.query.get("name", ""), size, modified_s=int(time.time()))
        target = WriteArchiveRequest(target=_target(request), no_overwrite_kind=True)
        messages = _messages(target, header, size, request.content.iter_chunked(CHUNK))
        async with aclosing(messages):
            await self._managers.call(self._containers.WriteArchive, messages, seconds=None)
        return answer({}, status=201)


def _target(request: web.Request, *, follow: bool = False) -> ArchiveRequest:
    container, path = request.query.get("container", ""), request.query.get("path", "")
    if not container or not path:
        raise InvalidInput("container and path are required")
    return ArchiveRequest(container=container, path=path, follow=follow)


def _entry(each: PathStat) -> dict[str, Any]:
    return {
        "name": each.name,
        "size": each.size,
        "mode": each.mode,
        "modified": each.modified_ns // 1_000_000,
        "link": each.link_target,
    }


def _is_regular(found: PathStat) -> bool:
    return found.mode & 0o170000 == 0o100000


def attachment_headers(name: str) -> dict[str, str]:
    """Of a file that a browser saves under this name."""
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Cache-Control": "no-store",
    }


async def _archive(chunks: AsyncIterable[ArchiveChunk]) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        if chunk.data:
            yield chunk.data


async def _content(chunks: AsyncIterable[ArchiveChunk], size: int) -> AsyncGenerator[bytes]:
    """Raises ConnectionLost: the file's end is missing. Conflict: it has another size by now."""
    file = SingleFile(size)
    async for chunk in chunks:
        if data := file.feed(chunk.data):
            yield data
    if not file.complete:
        raise ConnectionLost("the file's end is missing")


async def _messages(
    target: WriteArchiveRequest, header: bytes, size: int, content: AsyncIterable[bytes]
) -> AsyncGenerator[WriteArchiveRequest]:
    """Raises Exhausted: the browser sends more than it has said."""
    yield target
    yield WriteArchiveRequest(data=header)
    left = size
    async for piece in content:
        left -= len(piece)
        if left < 0:
            raise Exhausted("the file is larger than announced")
        yield WriteArchiveRequest(data=piece)
    yield WriteArchiveRequest(data=padding_of(size))
