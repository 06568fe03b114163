"""/api/logs: lines of a service's, a stack's or a container's logs, as they come or as a file."""

import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from aiohttp import web

from console.handlers.queries import flag_query, number_query
from console.handlers.streams import Streams
from console.json_text import encode
from shoal.api.v1.control_pb2 import LogSource, LogsRequest, LogsResponse
from shoal.api.v1.streams_pb2 import LogChunk
from shoal.errors import InvalidInput
from shoal.logs.log_lines import parse_line
from shoal.manager_calls.managers import Managers
from shoal.resumption.log_resumption import LogResumption

DEFAULT_TAIL = 500
MAX_TAIL = 100_000
MAX_LINE = 8192
"""Characters of a line that a page shows; the file has all of them."""


class LogHandlers:
    """The logs' calls."""

    def __init__(self, managers: Managers, streams: Streams) -> None:
        self._managers = managers
        self._streams = streams

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/logs", self.follow)
        yield web.get("/api/logs/file", self.download)

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Messages: {"type": "source"}, {"type": "lines"}, {"type": "warning"}; they go on at another manager."""
        call = _request_of(request, follow=flag_query(request, "follow"))
        call.tail = number_query(request, "tail", default=DEFAULT_TAIL, most=MAX_TAIL)
        return await self._streams.send_all(request, self._messages(call))

    async def _messages(self, call: LogsRequest) -> AsyncGenerator[str]:
        resumption = LogResumption(call, started_ns=time.time_ns())
        async with aclosing(self._managers.resumed_stream(self._managers.control.Logs, resumption)) as responses:
            async for response in responses:
                if response.HasField("source"):
                    yield encode({"type": "source", **_source(response.source)})
                elif response.HasField("warning"):
                    yield encode({"type": "warning", "message": response.warning})
                elif lines := [line for chunk in response.batch.chunks for line in _lines(chunk)]:
                    yield encode({"type": "lines", "lines": lines})

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Text, a line each: task, time, line."""
        names: dict[str, str] = {}
        call = _request_of(request, follow=False)
        async with aclosing(self._managers.stream(self._managers.control.Logs, call)) as responses:
            first = await anext(responses, None)  # an error of the call is an answer, and no half of a file
            response = web.StreamResponse(
                headers={
                    "Content-Type": "text/plain; charset=utf-8",
                    "Content-Disposition": 'attachment; filename="shoal.log"',
                    "Cache-Control": "no-store",
                }
            )
            await response.prepare(request)
            if first is not None:
                await response.write(_file_part(first, names))
                async for each in responses:
                    await response.write(_file_part(each, names))
            await response.write_eof()
            return response


def _request_of(request: web.Request, *, follow: bool) -> LogsRequest:
    target, stack = request.query.get("target", ""), request.query.get("stack", "")
    if bool(target) == bool(stack):
        raise InvalidInput("give either target or stack")
    since_ms = number_query(request, "since", most=2**53)
    return LogsRequest(target=target, stack=stack, follow=follow, since_ns=since_ms * 1_000_000)


def _source(source: LogSource) -> dict[str, str]:
    return {"id": source.task_id, "name": source.task_name, "node": source.node_hostname}


def _lines(chunk: LogChunk) -> Iterator[list[object]]:
    """[task, milliseconds since the Unix epoch, is standard error, text] of each line."""
    if chunk.lines_lost:
        yield [chunk.task_id, 0, 0, ""]
    for raw in chunk.lines.splitlines():
        if (line := parse_line(raw)) is not None:
            text = line.data.decode(errors="replace")[:MAX_LINE]
            yield [chunk.task_id, line.time_ns // 1_000_000, int(line.is_stderr), text]


def _file_part(response: LogsResponse, names: dict[str, str]) -> bytes:
    if response.HasField("source"):
        names[response.source.task_id] = f"{response.source.task_name}@{response.source.node_hostname}"
        return b""
    if response.HasField("warning"):
        return f"# {response.warning}\n".encode()
    parts = []
    for chunk in response.batch.chunks:
        prefix = names.get(chunk.task_id, chunk.task_id).encode() + b" "
        parts += [prefix + line for line in chunk.lines.splitlines(keepends=True)]
    return b"".join(parts)
