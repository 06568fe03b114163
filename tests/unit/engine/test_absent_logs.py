"""Logs on nodes that are away: an answer of its own, or the last frame, and never silence."""

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.handlers.containers.log_handlers import LogHandlers
from engine.handlers.swarm.service_log_handlers import INCOMPLETE, ServiceLogHandlers
from engine.protocol.errors import status_of
from engine.protocol.frames import Output, split_frames
from engine.protocol.versions import NEWEST
from shoal.api.v1.control_pb2 import ListTasksResponse, LogsResponse, ServiceView
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.errors import Unavailable

AWAY = LogsResponse(warning="node h2 is down; its logs are missing")
LINE = b"2026-01-01T00:00:00.000000000+00:00 stdout F here\n"
LINES = LogsResponse(batch=LogBatch(chunks=[LogChunk(task_id="t1", lines=LINE)]))


class Client:
    """A call, and what it was answered."""

    version = NEWEST

    def __init__(self) -> None:
        self.parameters = {"id": "web"}
        self.has_begun = False
        self.body = b""

    def boolean(self, name: str) -> bool:
        return name in ("stdout", "stderr")

    def text(self, name: str) -> str:
        del name
        return ""

    header = text

    async def stream(self, content_type: str) -> "Client":
        del content_type
        self.has_begun = True
        return self

    async def write(self, data: bytes) -> None:
        self.body += data


def managers(*responses: LogsResponse) -> Any:
    async def resumed_stream(*_: object) -> AsyncGenerator[LogsResponse]:
        for each in responses:
            yield each

    async def call(*_: object) -> ListTasksResponse:
        return ListTasksResponse()

    control = SimpleNamespace(Logs=None, ListTasks=None)
    return SimpleNamespace(resumed_stream=resumed_stream, call=call, control=control)


def finding(view: object) -> Any:
    async def find(name: str) -> object:
        del name
        return view

    return SimpleNamespace(find=find)


def test_of_a_container_they_are_refused_with_its_name() -> None:
    client = Client()
    with pytest.raises(Unavailable, match="node h2 is down") as raised:
        asyncio.run(LogHandlers(managers(AWAY), finding(ContainerView())).logs(cast(Any, client)))
    assert not client.has_begun and status_of(raised.value) == HTTPStatus.SERVICE_UNAVAILABLE


def test_of_a_service_what_there_is_comes_first() -> None:
    client = Client()
    asyncio.run(ServiceLogHandlers(managers(AWAY, LINES), finding(ServiceView())).of_service(cast(Any, client)))
    assert split_frames(client.body) == [
        (Output.STDOUT, b"here\n"),
        (Output.SYSTEM_ERROR, f"{INCOMPLETE}: {AWAY.warning}".encode()),
    ]
