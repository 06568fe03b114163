"""`shoal ps` of many containers, apart from everything else: a manager's calls on records in memory, and the command.

    python -m tests.bench.control_plane.bench_ps [10000]

Seconds of the processor are told too, since those of a clock are worth little on a busy machine.
"""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from manager.containers.container_handler import ContainerHandler
from manager.containers.container_records import new_container, revision_of, started
from manager.control_api.containers_servicer import ContainerHandlers, ContainersService
from manager.store import kinds
from manager.store.changes import Write, put
from manager.store.store import Store
from shoal.api.v1.engine_pb2 import ListContainersRequest
from shoal.api.v1.engine_pb2_grpc import ContainersStub, add_ContainersServicer_to_server
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, ServiceStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.contexts.context_store import ContextStore
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.ids import new_id
from shoal.rpc.channel import MAX_STREAM_BYTES, connect
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from tests.bench.rig.figures import Figure, table
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

COUNT, NODES, ROUNDS = 10_000, 100, 9
IMAGE = "docker.io/library/nginx:1.27@sha256:" + "1" * 64


def many_records(count: int, now_ms: int) -> list[Write]:
    """Containers that run, with commands and labels; a third has a port, a fifth has ended."""
    writes: list[Write] = []
    nodes = [new_id() for _ in range(NODES)]
    for number, node in enumerate(nodes):
        about = NodeDescription(hostname=f"host-{number}")
        writes.append(put(kinds.NODE, node, Node(meta=Meta(id=node))))
        status = NodeStatus(node_id=node, state=NodeStatus.READY, description=about)
        writes.append(put(kinds.NODE_STATUS, node, status))
    for number in range(count):
        writes += _container(number, nodes[number % NODES], now_ms - 1000 * number)
    return writes


def _container(number: int, node: str, at_ms: int) -> list[Write]:
    definition = ContainerDefinition(labels={"tier": f"t{number % 7}", "com.example.owner": "somebody"})
    definition.task.container.image = IMAGE
    definition.task.container.command.extend(["nginx", "-g", f"daemon off; worker_processes {number % 9};"])
    definition.task.container.env.extend(f"NAME_{each}=a value of some length" for each in range(8))
    identifier, ports = new_id(), []
    if number % 3 == 0:
        ports = [PublishedPort(target=80, published=20_000 + number % 10_000, mode=PublishedPort.INGRESS)]
        definition.ports.extend(ports)
    container: Container = started(new_container(identifier, f"box-{number}", definition, at_ms), at_ms)
    task = Task(
        id=new_id(),
        service_id=identifier,
        container_id=identifier,
        revision=1,
        node_id=node,
        job_run=1,
        slot=1,
        state=TaskState.ASSIGNED,
        desired_state=TaskState.RUNNING,
        created_at_ms=at_ms,
    )
    end = TaskStatus(task_id=task.id, state=TaskState.RUNNING, at_ms=at_ms, running_at_ms=at_ms)
    if number % 5 == 0:
        end.state, end.exit_code = TaskState.FAILED, 3
    status = ServiceStatus(service_id=identifier, node_id=node, mesh_ports=ports, finished_run=int(number % 5 == 0))
    return [
        put(kinds.CONTAINER, identifier, container),
        revision_of(container, at_ms),
        put(kinds.SERVICE_STATUS, identifier, status),
        put(kinds.TASK, task.id, task),
        put(kinds.TASK_STATUS, task.id, end),
    ]


def serve(link: Connection, count: int, home: str) -> None:
    """A manager that answers these calls alone, until it is sent anything."""
    asyncio.run(_serve(link, count, Path(home)))


async def _serve(link: Connection, count: int, home: Path) -> None:
    authority = Authority.create("c", datetime.now(UTC))
    async with loaded_store(MemoryEtcd()) as store:
        await _fill(store, many_records(count, time.time_ns() // 1_000_000))
        handlers = dict.fromkeys(ContainerHandlers.__dataclass_fields__, cast(Any, None))
        nothing = cast(Any, None)
        records = ContainerHandler(store=store, images=nothing, now_ms=lambda: 0, new_id=new_id, sizes=nothing)
        handlers["records"] = records
        server = make_server(MANAGER_API)
        add_ContainersServicer_to_server(ContainersService(ContainerHandlers(**handlers)), server)
        identity = authority.issue(CertificateSubject("m", Role.MANAGER, "c"), datetime.now(UTC))
        port = listen(server, "127.0.0.1:0", lambda: identity)
        await server.start()
        admin = authority.issue(CertificateSubject("me", Role.ADMIN, "c"), datetime.now(UTC))
        ContextStore(home / "shoal").create("here", admin, [f"127.0.0.1:{port}"])
        link.send((f"127.0.0.1:{port}", admin))
        while await asyncio.to_thread(link.recv):
            link.send(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
        await server.stop(None)


async def _fill(store: Store, writes: list[Write]) -> None:
    for at in range(0, len(writes), 100):
        await store.commit(writes[at : at + 100])


def measure(count: int = COUNT) -> list[Figure]:
    """The figures."""
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "shoal").mkdir()
        here, there = get_context("spawn").Pipe()
        server = get_context("spawn").Process(target=serve, args=(there, count, home))
        server.start()
        try:
            address, admin = here.recv()
            return _figures(here, address, admin, home, count)
        finally:
            here.send(False)
            server.join()


def _figures(link: Connection, address: str, admin: Any, home: str, count: int) -> list[Figure]:
    channel = connect([address], admin, max_receive_bytes=MAX_STREAM_BYTES)
    stub = ContainersStub(channel)
    request = ListContainersRequest(all=True, include_tasks=True)
    environment = {**os.environ, "SHOAL_CONFIG": f"{home}/shoal", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "from cli.entry_point import program; program()", "ps", "--all"]

    def listing() -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True)

    found = []
    for name, act in (
        ("first summaries", lambda: stub.SummarizeContainers(request)),
        ("summaries", lambda: stub.SummarizeContainers(request)),
        ("whole records", lambda: stub.ListContainers(request)),
        ("shoal ps", listing),
    ):
        found += _timed(link, f"{count:,} containers, {name}", act, 1 if name.startswith("first") else ROUNDS)
    channel.close()
    return found


def _timed(link: Connection, name: str, act: Callable[[], object], rounds: int) -> list[Figure]:
    before, seconds, own = _used(link), [], _own()
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - start)
    target = 0.3 if name.endswith("shoal ps") else None
    return [
        Figure(f"{name}, p50", statistics.median(seconds), "s", at_most=target, scope="a manager's calls"),
        Figure(f"{name}, manager's processor", (_used(link) - before) / rounds, "s", scope="a manager's calls"),
        Figure(f"{name}, caller's processor", (_own() - own) / rounds, "s", scope="a manager's calls"),
    ]


def _used(link: Connection) -> float:
    link.send(True)
    return float(link.recv())


def _own() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    print(table(measure(*map(int, sys.argv[1:]))))
