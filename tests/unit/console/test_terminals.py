"""A program's terminal in a browser."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType

from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStarted
from shoal.errors import NotFound
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser


@dataclass
class EchoManagers(FakeManagers):
    """Runs a program that says what is typed, in upper case, and ends with `q`."""

    inputs: list[ExecInput] = field(default_factory=list)
    closed: bool = False

    async def stream(self, method: str, request: Any) -> AsyncGenerator[Any]:
        assert method == "Exec"
        requests: AsyncIterable[ExecInput] = request
        try:
            async for each in requests:
                self.inputs.append(each)
                if each.HasField("start"):
                    if each.start.task == "nope":
                        raise NotFound("no task nope")
                    yield ExecOutput(started=ExecStarted(task_name="web.1"))
                elif each.stdin == b"q":
                    yield ExecOutput(end=ExecEnd(exit_code=3))
                    return
                elif each.HasField("stdin"):
                    yield ExecOutput(stdout=each.stdin.upper())
        finally:
            self.closed = True


def test_what_is_typed_and_what_is_shown() -> None:
    managers = EchoManagers()

    async def scenario(page: Browser) -> None:
        socket = await page.open("/api/terminal?task=t1&arg=sh&arg=-l&columns=100&rows=30&user=root")
        assert await socket.receive_json(timeout=5) == {"type": "started", "task": "web.1"}
        start = managers.inputs[0].start
        assert (start.task, list(start.args), start.user, start.stdin) == ("t1", ["sh", "-l"], "root", True)
        assert (start.terminal.columns, start.terminal.rows) == (100, 30)
        await socket.send_bytes(b"ls \xff\x1b[A")
        assert await socket.receive_bytes(timeout=5) == b"LS \xff\x1b[A"
        for text in ('{"type":"resize","columns":120,"rows":40}', "{", "[]", '{"columns":0,"rows":1}', '"x"'):
            await socket.send_str(text)
        await socket.send_bytes(b"q")
        assert await socket.receive_json(timeout=5) == {"type": "end", "code": 3, "error": ""}
        assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
        sizes = [each.resize for each in managers.inputs if each.HasField("resize")]
        assert [(size.columns, size.rows) for size in sizes] == [(120, 40)]

    with_browser(managers, scenario)


def test_a_browser_that_leaves_ends_the_call() -> None:
    managers = EchoManagers()

    async def scenario(page: Browser) -> None:
        socket = await page.open("/api/terminal?task=t1")
        await socket.receive_json(timeout=5)
        assert list(managers.inputs[0].start.args) == ["/bin/sh"]
        await socket.close()

    with_browser(managers, scenario)
    assert managers.closed


def test_a_task_that_is_not_there() -> None:
    async def scenario(page: Browser) -> None:
        socket = await page.open("/api/terminal?task=nope")
        assert await socket.receive_json(timeout=5) == {"type": "error", "error": "no task nope"}
        assert (await page.get("/api/terminal")).status == 400

    with_browser(EchoManagers(), scenario)
