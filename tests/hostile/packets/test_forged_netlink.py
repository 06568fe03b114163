"""A container with CAP_NET_ADMIN may send to sockets of netlink in its namespace, the agent's among them.

Bound: whatever it sends, the kernel's answer is read, at once.
"""

import os
import socket
from contextlib import closing

import pytest

from agent.network.namespaces import enter_new
from agent.network.netlink import sockets
from agent.network.netlink.connection import Connection
from tests.integration.network.netns_hosts import inside


@pytest.mark.timeout(20)
@pytest.mark.parametrize("forged", [bytes(16), b"\xff" * 16, b"\x10\0\0\0\3\0\0\0" + bytes(8), b"\1"])
def test_what_others_send_is_passed_over(forged: bytes) -> None:
    descriptor, connection = enter_new()
    connection.close()
    with inside(descriptor), closing(Connection(sockets.FAMILY)) as asking, socket.create_server(("", 0)) as server:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, sockets.FAMILY) as forger:
            forger.sendto(forged, asking._socket.getsockname())
        assert [each.port for each in sockets.listening(asking)] == [server.getsockname()[1]]
    os.close(descriptor)
