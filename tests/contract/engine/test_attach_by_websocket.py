"""A container's streams by a WebSocket, over a manager's own handlers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import (
    ClientSession,
    ClientWebSocketResponse,
    UnixConnector,
    WSCloseCode,
    WSMsgType,
    WSServerHandshakeError,
)

from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.raw_http import message_of, request
from tests.contract.engine.rig.served import served

SECONDS = 60


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    with served(lambda: rig_routes(lambda rig: rig.exit_codes.update(ends=0)), tmp_path) as engine:
        yield engine.socket


def create(socket: Path, *command: str, name: str = "web") -> None:
    body = {"Image": "alpine", "Cmd": command, "OpenStdin": True, "StdinOnce": True}
    assert request(socket, "POST", f"/containers/create?name={name}", body=json.dumps(body).encode())[0] == 201


def talk(
    socket: Path, target: str, conversation: Callable[[ClientSession, ClientWebSocketResponse], Awaitable[None]]
) -> None:
    """One conversation by a WebSocket."""

    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            ClientSession(connector=UnixConnector(str(socket))) as session,
            session.ws_connect(f"http://docker{target}") as connection,
        ):
            await conversation(session, connection)

    asyncio.run(run())


async def start(session: ClientSession, name: str = "web") -> None:
    async with session.post(f"http://docker/containers/{name}/start") as answer:
        assert answer.status == 204


@pytest.mark.parametrize(("version", "kind"), [("1.50", WSMsgType.BINARY), ("1.24", WSMsgType.TEXT)])
def test_input_and_output(socket: Path, version: str, kind: WSMsgType) -> None:
    async def conversation(session: ClientSession, connection: ClientWebSocketResponse) -> None:
        await start(session)
        await connection.send_bytes(b"first ")
        await connection.send_str("second")
        received = b""
        while len(received) < len("first second"):
            message = await connection.receive()
            assert message.type == kind
            received += message.data if kind == WSMsgType.BINARY else message.data.encode()
        assert received == b"first second"

    create(socket, "cat")
    talk(socket, f"/v{version}/containers/web/attach/ws?stream=1&stdin=1&stdout=1", conversation)
    assert request(socket, "GET", "/_ping")[0] == 200


def test_the_end_of_the_program_closes_it_in_order(socket: Path) -> None:
    async def conversation(session: ClientSession, connection: ClientWebSocketResponse) -> None:
        await start(session, "ends")
        assert (await connection.receive()).data == b"hello\n"
        assert (await connection.receive()).type == WSMsgType.CLOSE

    create(socket, "echo", "hello", name="ends")
    talk(socket, "/containers/ends/attach/ws?stream=1&stdout=1", conversation)


def test_a_client_that_only_listens_may_close(socket: Path) -> None:
    async def conversation(session: ClientSession, connection: ClientWebSocketResponse) -> None:
        await start(session)
        assert await connection.close()
        assert connection.close_code == WSCloseCode.OK, "the engine has answered"

    create(socket, "cat")
    talk(socket, "/containers/web/attach/ws?stream=1&stdout=1", conversation)


def test_what_is_no_handshake_is_refused(socket: Path) -> None:
    create(socket, "cat")
    status, _, body = request(socket, "GET", "/containers/web/attach/ws?stream=1")
    assert (status, message_of(body)) == (400, "a WebSocket handshake is required (RFC 6455, section 4.1)")
    headers = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "é"}
    assert request(socket, "GET", "/containers/web/attach/ws", headers=headers)[0] == 400

    async def to_no_container() -> None:
        async with ClientSession(connector=UnixConnector(str(socket))) as session:
            with pytest.raises(WSServerHandshakeError) as refused:
                await session.ws_connect("http://docker/containers/nosuch/attach/ws")
            assert refused.value.status == 404

    asyncio.run(to_no_container())
