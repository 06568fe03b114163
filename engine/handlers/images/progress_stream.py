"""Streams of JSON that tell how a transfer of an image goes on: layer by layer, then how it ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from engine.protocol.errors import error_in_stream
from engine.server.call import Call, json_line
from engine.translate.images.images import progress_text, short_digest
from shoal.errors import ShoalError
from shoal.images.progress import LayerProgress, LayerState

Emit = Callable[[dict[str, Any]], None]
MIN_SECONDS = 0.1
"""Between two lines about one layer in transfer."""


@dataclass(frozen=True)
class TransferWords:
    """The words of a transfer, by state of a layer.

    Attributes:
        begins: said of layers that are transferred, before that; not of those that are there.
        arrived: said of those before `done`.
    """

    waiting: str
    transferring: str
    exists: str
    done: str
    begins: str = ""
    arrived: str = ""


PULLING = TransferWords("", "Downloading", "Already exists", "Pull complete", "Pulling fs layer", "Download complete")
PUSHING = TransferWords("Preparing", "Pushing", "Layer already exists", "Pushed")
LOADING = TransferWords("Preparing", "Loading layer", "Already exists", "Loaded")


class LayerLines:
    """Progress of layers as lines, each state once and transfers not too often."""

    def __init__(self, emit: Emit, words: TransferWords) -> None:
        self._emit = emit
        self._words = words
        self._last: dict[str, tuple[LayerState, float]] = {}

    def __call__(self, progress: LayerProgress) -> None:
        now, key = time.monotonic(), short_digest(progress.digest)
        state, at = self._last.get(key, (None, 0.0))
        transferring = progress.state in (LayerState.TRANSFERRING, LayerState.COMPRESSING)
        if state is progress.state and (not transferring or now - at < MIN_SECONDS):
            return
        self._last[key] = (progress.state, now)
        begun = state in (LayerState.TRANSFERRING, LayerState.COMPRESSING)
        if not begun and (transferring or progress.state is LayerState.DONE):
            self._say(self._words.begins, key)
        if progress.state is LayerState.DONE:
            self._say(self._words.arrived, key)
        if transferring:
            self._say_transfer(progress, key)
        else:
            self._say(self._text(progress.state), key)

    def _say(self, status: str, key: str) -> None:
        if status:
            self._emit({"status": status, "progressDetail": {}, "id": key})

    def _say_transfer(self, progress: LayerProgress, key: str) -> None:
        line: dict[str, Any] = {"status": self._words.transferring, "id": key}
        line["progressDetail"] = {"current": progress.done_bytes, "total": progress.total_bytes}
        line["progress"] = progress_text(progress.done_bytes, progress.total_bytes)
        self._emit(line)

    def _text(self, state: LayerState) -> str:
        match state:
            case LayerState.WAITING:
                return self._words.waiting
            case LayerState.EXISTS:
                return self._words.exists
            case _:
                return self._words.done


async def stream_progress(
    call: Call,
    work: Callable[[Emit], Awaitable[None]],
    *,
    map_error: Callable[[ShoalError], ShoalError] = lambda error: error,
    at_once: bool = False,
) -> web.StreamResponse:
    """Answer with the lines that the work emits.

    An error before the first line is an answer with a status of its own; later it is the last line of the stream.

    Args:
        map_error: an error of the work, as the client gets it.
        at_once: the head goes out before there is a line, so that every error is in the stream.
    """
    lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    working = asyncio.ensure_future(_run(work, lines))
    try:
        response = await call.stream() if at_once else None
        line = await lines.get()
        if line is None and response is None:
            await _result(working, map_error)
        if response is None:
            response = await call.stream()
        while line is not None:
            await response.write(json_line(line))
            line = await lines.get()
        try:
            await _result(working, map_error)
        except ShoalError as error:
            await response.write(json_line(error_in_stream(str(error))))
        return response
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def _run(work: Callable[[Emit], Awaitable[None]], lines: "asyncio.Queue[dict[str, Any] | None]") -> None:
    try:
        await work(lines.put_nowait)
    finally:
        lines.put_nowait(None)


async def _result(working: "asyncio.Future[None]", map_error: Callable[[ShoalError], ShoalError]) -> None:
    try:
        await working
    except ShoalError as error:
        raise map_error(error) from error
