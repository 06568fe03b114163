"""A process with one server as agents and managers open it: prints its port, then for each line of input what it uses.

Arguments: the limits' name in `shoal.rpc.server_limits`, a directory for a manager's identity, that of logs if any.
"""

import asyncio
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.runtime.logs.container_logs import ContainerLogs
from agent.streams.agent_streams import AgentStreamsService
from shoal.api.v1.streams_pb2_grpc import add_AgentStreamsServicer_to_server
from shoal.daemons.heap_trimming import resident_bytes, trim_heap_forever
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc import access, server_limits
from shoal.rpc.grpc_server import listen, make_server
from tests.integration.identity.servicers import Streams

HANDSHAKE_SECONDS = 2
CLUSTER = "cluster"


async def main(name: str, directory: Path, logs: Path | None = None) -> None:
    authority = Authority.create(CLUSTER, datetime.now(UTC))
    shown = authority.issue(CertificateSubject("node", Role.AGENT, CLUSTER), datetime.now(UTC))
    authority.issue(CertificateSubject("manager", Role.MANAGER, CLUSTER), datetime.now(UTC)).save(directory)
    adjusted = replace(getattr(server_limits, name), handshake_seconds=HANDSHAKE_SECONDS)
    server = make_server(access.AGENT_STREAMS, limits=adjusted)
    add_AgentStreamsServicer_to_server(_log_server(logs) if logs else Streams(), server)
    port = listen(server, "127.0.0.1:0", lambda: shown)
    await server.start()
    keeping = asyncio.create_task(trim_heap_forever(check_seconds=0.2))
    print(port, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(resident_bytes(), len(os.listdir("/proc/self/fd")), flush=True)  # noqa: PTH208 - names alone
    keeping.cancel()
    await server.stop(0)


class _Logs:
    def __init__(self, root: Path) -> None:
        self.logs = ContainerLogs(directory=lambda task_id: root / task_id, is_running=lambda _: True).read


def _log_server(root: Path) -> AgentStreamsService:
    """With nothing but logs."""
    nothing: Any = None
    return AgentStreamsService(
        logs=_Logs(root),
        prober=nothing,
        diagnosis=nothing,
        stats=nothing,
        controller=nothing,
        sizes=nothing,
        exec_runtime=nothing,
        source=nothing,
        target=nothing,
        now_ns=time.monotonic_ns,
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(Path, sys.argv[2:])))
