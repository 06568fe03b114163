"""What netlink and container sockets say when the kernel is short of memory, or a process is just ending."""

import socket
from collections.abc import Callable

import pytest

from agent.network.attachments import container_sockets
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import Message
from agent.worker.interfaces import Sockets
from shoal.errors import Unavailable

_DELETE_LINK = 17


def test_replies_that_the_kernel_had_no_room_for_are_unavailable_and_the_socket_stays_usable() -> None:
    connection = Connection()
    try:
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        absent = Message(_DELETE_LINK, 0, b"\0" * 4 + b"\xff\xff\xff\x7f" + b"\0" * 8, "delete a link")
        with pytest.raises(Unavailable, match="No buffer space available"):
            connection.apply([absent] * 200)
        with pytest.raises(Unavailable, match="refused to delete a link"):
            connection.apply([absent])
    finally:
        connection.close()


@pytest.mark.parametrize("error", [FileNotFoundError(2, ""), PermissionError(13, ""), ProcessLookupError(3, "")])
def test_a_process_that_is_just_ending_has_no_sockets(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_sockets, "connect_inside", _raising(error))
    assert container_sockets.inspect(7) == Sockets()


def test_sockets_that_cannot_be_read_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_sockets, "connect_inside", _raising(OSError(24, "Too many open files")))
    with pytest.raises(Unavailable, match="process 7 cannot be read: Too many open files"):
        container_sockets.inspect(7)


def _raising(error: OSError) -> Callable[[int, int], Connection]:
    def connect(_pid: int, _family: int) -> Connection:
        raise error

    return connect
