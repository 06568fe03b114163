"""Events of what no record says: those of files, processes, terminals, and of commands that nobody stays for."""

import json
import socket as sockets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.raw_http import connect, read_all, read_head, request
from tests.contract.engine.rig.served import served

KEYS = b"\x10\x11"
"""By which clients detach: ctrl-p, ctrl-q."""


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    with served(rig_routes, tmp_path) as engine:
        yield engine.socket


class Listener:
    """A client of `events`."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._connection.sendall(b"GET /events HTTP/1.0\r\nHost: x\r\n\r\n")
        head, self._data = read_head(self._connection)
        assert head.startswith(b"HTTP/1.0 200 ")
        assert self.next()["Action"] == "create"  # of the rig

    def next(self) -> Any:
        """The next event."""
        while b"\n" not in self._data:
            piece = self._connection.recv(1 << 16)
            assert piece
            self._data += piece
        line, _, self._data = self._data.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def events(socket: Path) -> Iterator[Listener]:
    """Heard while a container with a terminal runs."""
    listener = Listener(socket)
    body = {"Image": "alpine", "Cmd": ["cat"], "Tty": True, "OpenStdin": True}
    assert post(socket, "/containers/create?name=web", body) == 201
    assert post(socket, "/containers/web/start") == 204
    yield listener
    listener.close()


def post(socket: Path, target: str, body: object = None) -> int:
    return request(socket, "POST", target, body=b"" if body is None else json.dumps(body).encode())[0]


def detach(socket: Path, target: str) -> None:
    """Take a connection over, and type the keys."""
    with connect(socket) as connection:
        connection.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        read_head(connection)
        connection.sendall(KEYS)
        read_all(connection)
        connection.shutdown(sockets.SHUT_RDWR)


def test_files_processes_and_terminals(socket: Path, events: Listener) -> None:
    assert request(socket, "GET", "/containers/web/top")[0] == 200
    assert request(socket, "GET", "/containers/web/archive?path=/tmp/h")[0] == 200
    assert request(socket, "GET", "/containers/web/export")[0] == 200
    assert post(socket, "/containers/web/resize?h=24&w=80") == 200
    assert [events.next()["Action"] for _ in range(3)] == ["top", "archive-path", "export"]
    resized = events.next()
    assert (resized["Action"], resized["status"]) == ("resize", "resize")
    assert resized["Actor"]["Attributes"] | {"height": "24", "width": "80"} == resized["Actor"]["Attributes"]


def test_detaching(socket: Path, events: Listener) -> None:
    detach(socket, "/containers/web/attach?stream=1&stdin=1&stdout=1")
    assert [events.next()["Action"] for _ in range(2)] == ["attach", "detach"]


def test_the_end_of_commands_that_nobody_stays_for(socket: Path, events: Listener) -> None:
    status, _, body = request(socket, "POST", "/containers/web/exec", body=b'{"Cmd":["exit","3"]}')
    assert status == 201
    exec_id = json.loads(body)["Id"]
    assert post(socket, f"/exec/{exec_id}/start", {"Detach": True}) == 200
    assert [events.next()["Action"] for _ in range(2)] == ["exec_create: exit 3", "exec_start: exit 3"]
    ended = events.next()
    assert ended["Action"] == "exec_die"
    attributes = ended["Actor"]["Attributes"]
    assert (attributes["execID"], attributes["exitCode"]) == (exec_id, "3")
