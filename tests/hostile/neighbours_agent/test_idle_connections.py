"""Neighbours that connect and say nothing, thousands of times: what it costs a server, and for how long.

Bounds: at most the limit's number of connections open; 64 MiB of memory meanwhile (128 for the API port), of which all
but 24 MiB is given back; every connection without a handshake is closed after the deadline, and then anyone who has a
certificate is served.
"""

import resource
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from shoal.api.v1.streams_pb2 import ProbeRequest, ProbeResponse
from shoal.api.v1.streams_pb2_grpc import AgentStreamsStub
from shoal.identity.identity import Identity
from shoal.identity.roles import agent_server_name
from shoal.rpc import server_limits
from shoal.rpc.channel import connect
from tests.hostile.neighbours_agent.server_process import server

CONNECTIONS = 2_000
MIB = 1 << 20
DEADLINE = 60.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def silent(stack: ExitStack, port: int) -> None:
    """Connections from many addresses, so that no bound on one of them helps."""
    for number in range(CONNECTIONS):
        connection = stack.enter_context(socket.socket())
        connection.bind((f"127.0.1.{1 + number % 250}", 0))
        connection.connect(("127.0.0.1", port))


def is_served(port: int, identity: Identity) -> bool:
    """Whether a manager's call is answered."""
    with connect([f"127.0.0.1:{port}"], identity, server_name=agent_server_name("node")) as channel:
        return AgentStreamsStub(channel).Probe(ProbeRequest(), timeout=DEADLINE) == ProbeResponse()


@pytest.mark.parametrize("name", ["AGENT_STREAMS", "JOIN", "MANAGER_API"])
def test_silent_connections_cost_little_and_end(name: str, tmp_path: Path) -> None:
    least = 2 * CONNECTIONS
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < least:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with server(name, tmp_path / "manager") as tried, ExitStack() as stack:
        identity = Identity.load(tmp_path / "manager")
        assert is_served(tried.port, identity)
        memory, descriptors = tried.used()
        silent(stack, tried.port)
        allowed = min(CONNECTIONS, getattr(server_limits, name).connections)
        until(lambda: tried.used()[1] <= descriptors + allowed + 10)
        assert tried.used()[0] - memory < (128 if name == "MANAGER_API" else 64) * MIB
        until(lambda: tried.used()[1] <= descriptors + 10)
        until(lambda: tried.used()[0] - memory < 24 * MIB)
        assert is_served(tried.port, identity)
