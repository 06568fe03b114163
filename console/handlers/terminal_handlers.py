"""/api/terminal: a program in a task's container, on a terminal in the browser.

Both ways, binary messages are what is typed and what is shown. Texts of the browser are
{"type": "resize", "columns", "rows"}; those of the server {"type": "started", "task"} and, the last one,
{"type": "end", "code", "error"}.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from aiohttp import WSMsgType, web

from console.handlers.queries import number_query
from console.handlers.streams import CLOSING, Streams, until_first_ends
from console.json_text import encode
from console.server.http_app import SESSION
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStart, TerminalSize
from shoal.errors import InvalidInput
from shoal.manager_calls.managers import Managers

MAX_SIDE = 1000
"""Columns or rows."""
WAITING_INPUTS = 64
"""Messages of a browser that the managers have not taken yet; beyond, the browser is not read."""
SHELL = ("/bin/sh",)

_log = logging.getLogger(__name__)


class TerminalHandlers:
    """Terminals in browsers."""

    def __init__(self, managers: Managers, streams: Streams) -> None:
        self._managers = managers
        self._streams = streams

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/terminal", self.open)

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Of the query: `task`, `arg` once for each word of the command, `columns`, `rows`, `user`."""
        start = _start_of(request)
        _log.info("%s runs %s in %s", request[SESSION].user, " ".join(start.args), start.task)

        async def serve(socket: web.WebSocketResponse) -> None:
            inputs: asyncio.Queue[ExecInput] = asyncio.Queue(WAITING_INPUTS)
            inputs.put_nowait(ExecInput(start=start))
            await until_first_ends(self._show(socket, inputs), _read(socket, inputs))

        return await self._streams.serve(request, serve)

    async def _show(self, socket: web.WebSocketResponse, inputs: "asyncio.Queue[ExecInput]") -> None:
        call = self._managers.stream(self._managers.control.Exec, _each(inputs))
        async with aclosing(call) as outputs:
            async for output in outputs:
                await _send(socket, output)


def _start_of(request: web.Request) -> ExecStart:
    task = request.query.get("task", "")
    if not task:
        raise InvalidInput("task: is required")
    return ExecStart(
        task=task,
        args=request.query.getall("arg", list(SHELL)),
        env=["TERM=xterm-256color"],
        user=request.query.get("user", ""),
        stdin=True,
        terminal=TerminalSize(
            columns=number_query(request, "columns", default=80, most=MAX_SIDE),
            rows=number_query(request, "rows", default=24, most=MAX_SIDE),
        ),
    )


async def _each(inputs: "asyncio.Queue[ExecInput]") -> AsyncGenerator[ExecInput]:
    while True:
        yield await inputs.get()


async def _read(socket: web.WebSocketResponse, inputs: "asyncio.Queue[ExecInput]") -> None:
    """Until the browser leaves; what it says that is neither input nor a size is ignored."""
    while (message := await socket.receive()).type not in CLOSING:
        if message.type is WSMsgType.BINARY:
            await inputs.put(ExecInput(stdin=message.data))
        elif message.type is WSMsgType.TEXT and (size := _size_in(message.data)) is not None:
            await inputs.put(ExecInput(resize=size))


def _size_in(text: str) -> TerminalSize | None:
    try:
        document = json.loads(text)
        columns, rows = int(document["columns"]), int(document["rows"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if not (1 <= columns <= MAX_SIDE and 1 <= rows <= MAX_SIDE):
        return None
    return TerminalSize(columns=columns, rows=rows)


async def _send(socket: web.WebSocketResponse, output: ExecOutput) -> None:
    kind = output.WhichOneof("kind")
    if kind == "started":
        await socket.send_str(encode({"type": "started", "task": output.started.task_name}))
    elif kind == "end":
        await socket.send_str(encode({"type": "end", "code": output.end.exit_code, "error": output.end.error}))
    elif kind is not None:
        await socket.send_bytes(output.stdout or output.stderr, compress=0)
