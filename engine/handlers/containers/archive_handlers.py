"""Files of containers as tar archives: `archive` by three methods, and `export`."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup, reference_of
from engine.cluster.own_events import OwnEvents
from engine.handlers.restrictions import Restrictions
from engine.protocol.decompression import Decompression
from engine.protocol.errors import ApiError, bad_request, not_found
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.containers.path_stat import path_stat_header
from shoal.api.v1.engine_pb2 import ArchiveChunk, ArchiveRequest, ListChangesRequest, WriteArchiveRequest
from shoal.errors import InvalidInput, NotFound, PermissionDenied
from shoal.manager_calls.managers import Managers

TAR = "application/x-tar"
OCTETS = "application/octet-stream"
CHUNK_BYTES = 256 * 1024
"""Of an archive in one message to a manager."""


class ArchiveHandlers:
    """The operations on containers' files. Those of containers that do not run are read and written too."""

    def __init__(
        self, managers: Managers, lookup: ContainerLookup, events: OwnEvents, *, restrictions: Restrictions
    ) -> None:
        self._managers = managers
        self._containers = managers.containers
        self._lookup = lookup
        self._events = events
        self._restrictions = restrictions

    def routes(self) -> list[Route]:
        path = "/containers/{id}/archive"
        return [
            Route("HEAD", path, self.stat, "ContainerArchiveInfo"),
            Route("GET", path, self.read, "ContainerArchive"),
            Route("PUT", path, self.write, "PutContainerArchive"),
            Route("GET", "/containers/{id}/export", self.export, "ContainerExport"),
        ]

    async def stat(self, call: Call) -> web.StreamResponse:
        """What a path is, as a header."""
        request = await self._request(call)
        try:
            found = await self._managers.call(self._containers.StatPath, request)
        except NotFound as error:
            raise _no_file(call, request) from error
        return call.empty(200, path_stat_header(found))

    async def read(self, call: Call) -> web.StreamResponse:
        """A tar of a file or a directory."""
        request = await self._request(call, "archive-path")
        async with aclosing(self._managers.stream(self._containers.ReadArchive, request)) as chunks:
            try:
                first = await anext(chunks)
            except NotFound as error:
                raise _no_file(call, request) from error
            response = await call.stream(TAR, headers=path_stat_header(first.stat))
            await _write_chunk(response, first)
            async for chunk in chunks:
                await _write_chunk(response, chunk)
        return response

    async def write(self, call: Call) -> web.StreamResponse:
        """Unpack a tar into a directory."""
        request = await self._request(call, "extract-to-dir")
        target = WriteArchiveRequest(
            target=request,
            no_overwrite_kind=call.boolean("noOverwriteDirNonDir"),
            copy_owner=call.boolean("copyUIDGID"),
        )
        try:
            await self._managers.call(self._containers.WriteArchive, _upload(call, target), seconds=None)
        except NotFound as error:
            raise _no_file(call, request) from error
        except PermissionDenied as error:
            raise ApiError(HTTPStatus.FORBIDDEN, str(error)) from error
        except InvalidInput as error:
            raise bad_request(str(error)) from error
        return call.empty(200)

    async def export(self, call: Call) -> web.StreamResponse:
        """A tar of the whole root file system."""
        view = await self._lookup.find(call.parameters["id"])
        request = ListChangesRequest(container=reference_of(view))
        async with aclosing(self._managers.stream(self._containers.ExportContainer, request)) as chunks:
            first = await anext(chunks)
            self._events.report(view, "export")
            response = await call.stream(OCTETS)
            await _write_chunk(response, first)
            async for chunk in chunks:
                await _write_chunk(response, chunk)
        return response

    async def _request(self, call: Call, action: str = "") -> ArchiveRequest:
        """
        Args:
            action: of the event that this is; empty: it is none.
        """
        path = call.text("path")
        if not path:
            raise bad_request("bad parameter: 'path' is required")
        view = await self._lookup.find(call.parameters["id"])
        await self._restrictions.check_use(call.caller, view)
        if action:
            self._events.report(view, action)
        return ArchiveRequest(container=reference_of(view), path=path if path.startswith("/") else f"/{path}")


async def _upload(call: Call, target: WriteArchiveRequest) -> AsyncIterator[WriteArchiveRequest]:
    yield target
    decompression = Decompression()
    while data := await call.request.content.readany():
        for piece in decompression.feed(data):
            for start in range(0, len(piece), CHUNK_BYTES):
                yield WriteArchiveRequest(data=piece[start : start + CHUNK_BYTES])
    for piece in decompression.finish():
        yield WriteArchiveRequest(data=piece)


async def _write_chunk(response: web.StreamResponse, chunk: ArchiveChunk) -> None:
    if chunk.data:
        await response.write(chunk.data)


def _no_file(call: Call, request: ArchiveRequest) -> ApiError:
    return not_found(f"Could not find the file {request.path} in container {call.parameters['id']}")
