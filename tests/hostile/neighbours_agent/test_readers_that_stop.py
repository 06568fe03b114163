"""Callers that ask for logs and then read nothing, or little: what an agent keeps for them.

Bounds: 300 calls at a time, 256 MiB of memory for all of them, which is given back; the others are refused with a word.
"""

import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from agent.streams.agent_streams import MAX_LOG_READERS
from shoal.api.v1.streams_pb2 import ReadLogsRequest
from shoal.api.v1.streams_pb2_grpc import AgentStreamsStub
from shoal.identity.identity import Identity
from shoal.identity.roles import agent_server_name
from shoal.logs.log_lines import timestamp_bytes
from shoal.rpc.channel import connect
from tests.hostile.neighbours_agent.server_process import server

MIB = 1 << 20
LOG_BYTES = 20 * MIB
TASKS = 8


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("follow", [False, True])
def test_who_does_not_read_costs_an_agent_little(tmp_path: Path, follow: bool) -> None:
    line = timestamp_bytes(1_795_475_880_000_000_000) + b" stdout F " + b"x" * 1000 + b"\n"
    for number in range(TASKS):
        directory = tmp_path / "logs" / f"t{number}"
        directory.mkdir(parents=True)
        (directory / "log-1").write_bytes(line * (LOG_BYTES // len(line)))
    request = ReadLogsRequest(task_ids=[f"t{number}" for number in range(TASKS)], follow=follow)
    with server("AGENT_STREAMS", tmp_path / "manager", tmp_path / "logs") as tried:
        identity = Identity.load(tmp_path / "manager")
        with connect([f"127.0.0.1:{tried.port}"], identity, server_name=agent_server_name("node")) as channel:
            stub = AgentStreamsStub(channel)
            before, _ = tried.used()
            calls = []
            for _ in range(MAX_LOG_READERS):
                calls.append(stub.ReadLogs(request))
                assert next(calls[-1]).chunks
            with pytest.raises(grpc.RpcError, match=r"too many log readers on this node \(300\)") as refused:
                next(stub.ReadLogs(request))
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            for _ in range(10):
                assert tried.used()[0] - before < 256 * MIB
                time.sleep(0.05)
            for call in calls:
                call.cancel()
            until(lambda: tried.used()[0] - before < 40 * MIB)
            assert next(stub.ReadLogs(request)).chunks
