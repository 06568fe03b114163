"""A container with CAP_NET_ADMIN may send to sockets of netlink in its namespace, the agent's among them.

Bound: whatever it sends, the kernel's answer is read, at once.
"""

import os
import socket
from contextlib import closing

import pytest

from agent.network.attachments.namespaces import create_namespace
from agent.network.netlink import sock_diag
from agent.network.netlink.connection import Connection
from tests.integration.network.netns_hosts import inside


@pytest.mark.timeout(60)
@pytest.mark.parametrize("forged", [bytes(16), b"\xff" * 16, b"\x10\0\0\0\3\0\0\0" + bytes(8), b"\1"])
def test_what_others_send_is_passed_over(forged: bytes) -> None:
    descriptor, connection = create_namespace()
    connection.close()
    with (
        inside(descriptor),
        closing(Connection(sock_diag.SOCK_DIAG)) as asking,
        socket.create_server(("", 0)) as server,
    ):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, sock_diag.SOCK_DIAG) as forger:
            forger.sendto(forged, asking._socket.getsockname())
        assert [each.port for each in sock_diag.listening_sockets(asking)] == [server.getsockname()[1]]
    os.close(descriptor)
