"""Reading much log: agents' servers, a manager's call and the command, each a process of its own, over mutual TLS.

    python tests/bench/bench_logs.py [--megabytes 1000] [--tasks 1] [--line 100] [--interleave 80] [--timestamps|--raw]

Tells the rate at which the command wrote to /dev/null, and the processor seconds of each of them. To reach: 100 MB/s.
"""

import argparse
import asyncio
import inspect
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from agent.runtime.logs.container_logs import ContainerLogs as LogFiles
from agent.streams.agent_streams import AgentStreamsService
from cli.commands.service.service_logs import logs as logs_command
from manager.agents.agent_address import AgentAddress
from manager.agents.agent_channels import AgentChannels
from manager.logs.log_handler import response_of
from manager.logs.log_sources import NodeLogs
from manager.logs.merged_logs import merged_logs
from shoal.api.v1.control_pb2 import LogSource, LogsRequest, LogsResponse
from shoal.api.v1.control_pb2_grpc import ControlServicer, add_ControlServicer_to_server
from shoal.api.v1.streams_pb2 import ReadLogsRequest
from shoal.api.v1.streams_pb2_grpc import add_AgentStreamsServicer_to_server
from shoal.contexts.context_file import Context
from shoal.daemons.heap_trimming import keep_freed_memory
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role
from shoal.logs.log_lines import timestamp_bytes
from shoal.rpc import access
from shoal.rpc.caller import Context as Call
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API

CLUSTER = "cluster"
MB = 1_000_000
BEGIN_NS = 1_795_475_880_000_000_000
PIECE = 10 * MB


def write_logs(directory: Path, *, megabytes: int, tasks: int, line: int, interleave: int) -> None:
    """Logs of which `interleave` lines of one task follow each other in time, as conmon reads 8 KiB at once."""
    text = b" stdout F " + b"x" * (line - 46) + b"\n"
    for task in range(tasks):
        place = directory / f"task{task}"
        place.mkdir()
        left, number, at = megabytes * MB // tasks, 1, task
        while left > 0:
            with (place / f"log-{number}").open("wb") as file:
                while file.tell() < PIECE:
                    file.write((timestamp_bytes(BEGIN_NS + at * 1000) + text) * interleave)
                    at += tasks
                left -= file.tell()
            number += 1


class Control(ControlServicer):
    """The logs' call alone, as `manager.logs.log_handler` answers it."""

    def __init__(self, channels: AgentChannels, place: NodeLogs) -> None:
        self._channels = channels
        self._place = place

    async def Logs(self, request: LogsRequest, context: Call) -> AsyncGenerator[LogsResponse]:  # noqa: N802
        for number, task_id in enumerate(self._place.tasks):
            yield LogsResponse(source=LogSource(task_id=task_id, task_name=f"web.{number}", node_hostname="h1"))
        async for item in merged_logs([self._place], self._channels, ReadLogsRequest(tail=None)):
            assert not isinstance(item, str), item
            yield response_of(item)


async def serve_agent(directory: Path) -> None:
    nothing: Any = None
    files = LogFiles(directory=lambda task_id: directory / "logs" / task_id, is_running=lambda _: False)
    streams = AgentStreamsService(
        logs=cast(Any, _Reads(files)), prober=nothing, diagnosis=nothing, stats=nothing, controller=nothing,
        sizes=nothing, exec_runtime=nothing, source=nothing, target=nothing, now_ns=time.monotonic_ns,
    )  # fmt: skip
    server = make_server(access.AGENT_STREAMS)
    add_AgentStreamsServicer_to_server(streams, server)
    await _serve(server, Identity.load(directory / "agent"))


async def serve_manager(directory: Path, port: int, tasks: int) -> None:
    keep_freed_memory()
    identity = Identity.load(directory / "manager")
    place = NodeLogs(
        "node", "h1", AgentAddress("node", f"127.0.0.1:{port}"), "", tuple(f"task{n}" for n in range(tasks))
    )
    server = make_server(MANAGER_API)
    control: Any = Control
    control.__abstractmethods__ = frozenset()
    add_ControlServicer_to_server(control(AgentChannels(lambda: identity), place), server)
    await _serve(server, identity)


class _Reads:
    def __init__(self, files: LogFiles) -> None:
        self.logs = files.read


async def _serve(server: Any, identity: Identity) -> None:
    print(listen(server, "127.0.0.1:0", lambda: identity), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.readline)
    print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
    await server.stop(0)


def run_command(directory: Path, port: int, words: list[str]) -> None:
    from cli.client import Client

    with Client(Context("bench", (f"127.0.0.1:{port}",), directory / "admin")) as client:
        command: Any = inspect.unwrap(cast(Any, logs_command.callback))
        options = logs_command.make_context("logs", [*words, "web"]).params
        command(client, **options)


def process(*words: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *map(str, words)], text=True, **more)


def measure(arguments: argparse.Namespace, directory: Path) -> None:
    authority, now = Authority.create(CLUSTER, datetime.now(UTC)), datetime.now(UTC)
    for name, caller in (("agent", "node"), ("manager", "manager"), ("admin", "admin")):
        authority.issue(CertificateSubject(caller, Role(name), CLUSTER), now).save(directory / name)
    (directory / "logs").mkdir()
    write_logs(directory / "logs", megabytes=arguments.megabytes, tasks=arguments.tasks, line=arguments.line,
               interleave=arguments.interleave)  # fmt: skip
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    agent = process("agent", directory, **pipes)
    manager = process("manager", directory, int(_line(agent)), arguments.tasks, **pipes)
    port = int(_line(manager))
    began, used = time.monotonic(), os.times()
    words = [word for word, is_set in (("--raw", arguments.raw), ("-t", arguments.timestamps)) if is_set]
    with Path(os.devnull).open("w") as nowhere:
        assert process("command", directory, port, *words, stdout=nowhere).wait() == 0
    seconds, spent = time.monotonic() - began, os.times()
    command = spent.children_user + spent.children_system - used.children_user - used.children_system
    print(f"{arguments.megabytes} MB in {seconds:.1f} s: {arguments.megabytes / seconds:.0f} MB/s")
    print(f"command: {command:.2f} s of processor")
    for name, each in (("agent", agent), ("manager", manager)):
        output, _ = each.communicate("\n")
        processor, memory = output.split()
        print(f"{name}: {float(processor):.2f} s of processor, {int(memory) // 1024} MiB of memory at most")


def _line(served: subprocess.Popen[str]) -> str:
    assert served.stdout is not None
    return served.stdout.readline()


def main() -> None:
    """The programs by name, else the measurement."""
    words = sys.argv[1:]
    match words[:1]:
        case ["agent"]:
            asyncio.run(serve_agent(Path(words[1])))
        case ["manager"]:
            asyncio.run(serve_manager(Path(words[1]), int(words[2]), int(words[3])))
        case ["command"]:
            run_command(Path(words[1]), int(words[2]), words[3:])
        case _:
            parser = argparse.ArgumentParser(description=__doc__)
            for name, value in (("megabytes", 1000), ("tasks", 1), ("line", 100), ("interleave", 80)):
                parser.add_argument(f"--{name}", type=int, default=value)
            for name in ("raw", "timestamps"):
                parser.add_argument(f"--{name}", action="store_true")
            with tempfile.TemporaryDirectory() as directory:
                measure(parser.parse_args(), Path(directory))


if __name__ == "__main__":
    main()
