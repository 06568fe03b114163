"""What managers of a cluster that is made up answer to the console's other calls, and what they stream."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable

from google.protobuf.message import Message

from shoal.api.v1.control_pb2 import (
    FileView,
    ListFilesResponse,
    ListManagersResponse,
    ListNetworksResponse,
    ListNodesResponse,
    ListRevisionsResponse,
    ListTasksResponse,
    ListVolumesResponse,
    LogsResponse,
    NetworkView,
    StatsResponse,
    StoreView,
    VolumeView,
    WatchEventsResponse,
)
from shoal.api.v1.engine_pb2 import ListContainersResponse, ListImagesResponse
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import ExecOutput, ExecStarted
from shoal.api.v1.task_pb2 import TaskState
from shoal.logs.log_lines import timestamp_bytes
from tests.fakes.console import made_up_objects

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SIZE = 4 << 20


def answers(mark: str = "") -> dict[str, Message | Exception]:
    """By name of the call.

    Args:
        mark: a part of every name and text that somebody may write.
    """
    return {
        **made_up_objects.answers(),
        "ListNodes": ListNodesResponse(),
        "ListTasks": _tasks(),
        "ListManagers": _managers(),
        "GetStore": _store(),
        "ListContainers": _containers(mark),
        "ListImages": _images(mark),
        "ListNetworks": _networks(mark),
        "GetNetwork": _network(mark),
        "ListVolumes": _volumes(mark),
        "GetVolume": _volume(mark),
        "GetSecret": _file(mark),
        "GetConfig": _file(mark),
        "ListSecrets": _files(mark),
        "ListConfigs": _files(mark),
        "ListRevisions": _revisions(mark),
    }


def streams(mark: str = "") -> dict[str, Callable[[], AsyncIterable[Message]]]:
    """By name of the call: messages, after which the stream stays open."""

    async def events() -> AsyncGenerator[Message]:
        for number in range(40):
            response = WatchEventsResponse()
            event = response.event
            event.at_ms, event.type, event.action = _now_ms() - (40 - number) * 7_000, "task", "running"
            event.name, event.service, event.node = f"shop_web.{number}{mark}", f"shop_web{mark}", f"h{number % 9 + 1}"
            event.message = f"started{mark}"
            yield response
        await asyncio.Event().wait()

    async def logs() -> AsyncGenerator[Message]:
        response = LogsResponse()
        response.source.task_id, response.source.task_name, response.source.node_hostname = "t1", f"web.1{mark}", "h1"
        yield response
        for number in range(60):
            line = f"GET /products/{number} 200 {number % 7 + 1} ms{mark}"
            response = LogsResponse()
            stamp = timestamp_bytes(time.time_ns() - (60 - number) * 10**9)
            response.batch.chunks.add(task_id="t1", lines=stamp + f" stdout F {line}\n".encode())
            yield response
        await asyncio.Event().wait()

    async def usage() -> AsyncGenerator[Message]:
        response = StatsResponse()
        response.tasks.add(task_id="t1", name=f"web.1{mark}", node_hostname="h1", nano_cpus=10**8, memory_bytes=SIZE)
        yield response
        await asyncio.Event().wait()

    async def terminal() -> AsyncGenerator[Message]:
        yield ExecOutput(started=ExecStarted(task_name=f"web.1{mark}"))
        yield ExecOutput(stdout=b"/ # ")
        await asyncio.Event().wait()

    return {**made_up_objects.streams(), "WatchEvents": events, "Logs": logs, "Stats": usage, "Exec": terminal}


def _managers() -> ListManagersResponse:
    found = ListManagersResponse(voters=3, tolerated_failures=1)
    for number in range(1, 4):
        view = found.managers.add(alive=True, leader=number == 1, nodes=8, started_at_ms=_now_ms() - number * DAY_MS)
        view.manager.id, view.manager.version = f"m{number}q8x5c2v9k{number}", "0.1.0"
        view.manager.api_address = f"10.0.0.{number}:7440"
        view.certificate_expires_at_ms = _now_ms() + (20 + 20 * number) * DAY_MS
    return found


def _store() -> StoreView:
    found = StoreView(quota_bytes=8 << 30)
    for number in range(1, 4):
        found.members.add(
            endpoint=f"10.0.0.{number}:7443",
            version="3.5.16",
            database_bytes=SIZE * 90,
            used_bytes=SIZE * 40,
            leader=number == 1,
        )
    return found


def _containers(mark: str) -> ListContainersResponse:
    found = ListContainersResponse()
    for number, (name, image) in enumerate((("shell", "alpine:3.20"), ("db", "postgres:16"), ("try", "redis:7"))):
        view = found.containers.add(node_id=f"node{number}", node_hostname=f"h{number + 1}")
        container = view.container
        container.meta.id, container.meta.created_at_ms = f"container{number}", _now_ms() - number * HOUR_MS
        container.name, container.definition.task.container.image = f"{name}{mark}", image
        view.command.append(f"sleep 1d{mark}")
        view.task.id, view.task.state = f"task{number:09d}", TaskState.RUNNING
        view.task_status.state = TaskState.RUNNING
        view.status.problems.extend([f"low on memory{mark}"] if number == 2 else [])
    return found


def _images(mark: str) -> ListImagesResponse:
    found = ListImagesResponse()
    for number, name in enumerate(("shop/web:2.1", "shop/api:2.1", "postgres:16", "redis:7", "alpine:3.20")):
        view = found.images.add(names=[f"{name}{mark}"], node_ids=["node1", "node2"], service_ids=["service1"])
        view.image.digest = f"sha256:{number}{'7be0' * 15}"
        view.image.meta.created_at_ms = _now_ms() - number * DAY_MS
        variant = view.image.variants.add()
        variant.platform.os, variant.platform.architecture = "linux", "amd64"
    return found


def _networks(mark: str) -> ListNetworksResponse:
    found = ListNetworksResponse()
    for number, name in enumerate(("shop_front", "shop_back", "monitoring")):
        view = found.networks.add(addresses=40 * number + 7, services=[f"shop_web{mark}", "shop_api"])
        view.network.meta.id, view.network.spec.name = f"network{number}", f"{name}{mark}"
        view.network.spec.driver, view.allocation.subnet = "overlay", f"10.0.{number}.0/24"
        view.problem = f"no free address{mark}" if number == 2 else ""
    return found


def _network(mark: str) -> NetworkView:
    view = NetworkView(services=[f"shop_web{mark}"], addresses=12)
    view.network.meta.id, view.network.spec.name, view.network.spec.driver = "network0", f"shop_front{mark}", "overlay"
    view.allocation.subnet = "10.0.0.0/24"
    for number in range(3):
        view.nodes.add(hostname=f"h{number + 1}", state=NodeStatus.READY, up_to_date=True)
    for number in range(12):
        view.endpoints.add(
            task_id=f"task{number}",
            task_name=f"shop_web.{number + 1}{mark}",
            node_hostname=f"h{number % 3 + 1}",
            address=f"10.0.0.{number + 10}",
        )
    return view


def _tasks() -> ListTasksResponse:
    """One, with a port of its own on its node."""
    found = ListTasksResponse()
    task = found.tasks.add().task
    task.id = "task000000004"
    task.addresses.add(network_id="network0", address="10.0.0.14")
    task.ports.add(target=80, published=30004)
    return found


def _volumes(mark: str) -> ListVolumesResponse:
    found = ListVolumesResponse()
    for number, name in enumerate(("shop_data", "db", "uploads")):
        view = found.volumes.add(services=[f"shop_db{mark}"])
        view.volume.meta.id, view.volume.spec.name, view.volume.spec.driver = (
            f"volume{number}",
            f"{name}{mark}",
            "local",
        )
        problem = f"disk almost full{mark}" if number == 1 else ""
        view.locations.add(hostname=f"h{number + 1}", problem=problem)
    return found


def _files(mark: str) -> ListFilesResponse:
    found = ListFilesResponse()
    for number, name in enumerate(("shop_key", "tls", "settings")):
        view = found.files.add(services=[f"shop_web{mark}"])
        view.meta.id, view.meta.updated_at_ms = f"file{number}", _now_ms() - number * DAY_MS
        view.spec.name, view.spec.stack = f"{name}{mark}", "shop"
        view.versions.add(size_bytes=1200 + number)
    return found


def _volume(mark: str) -> VolumeView:
    """With its data on one node, and a container that uses it too."""
    found = _volumes(mark).volumes[0]
    found.services.append(f"container db{mark}")
    found.volume.meta.created_at_ms = _now_ms() - DAY_MS
    for texts in (found.volume.spec.options, found.volume.spec.labels):
        texts[f"note{mark}"] = f"made up{mark}"
    found.locations[0].home, found.locations[0].used_bytes = True, SIZE
    return found


def _file(mark: str) -> FileView:
    """Of two versions, with content; a secret's is shown nowhere."""
    found = _files(mark).files[0]
    found.content = f"listen 80;  # {mark}\n".encode()
    found.spec.labels[f"note{mark}"] = f"made up{mark}"
    del found.versions[:]
    for number in range(2):
        digest = f"{number}f" * 16
        found.versions.add(version=digest, size_bytes=1200, created_at_ms=_now_ms() - number * DAY_MS)
    found.version = found.versions[0].version
    return found


def _revisions(mark: str) -> ListRevisionsResponse:
    found = ListRevisionsResponse()
    for number in (3, 2, 1):
        view = found.revisions.add(current=number == 3, effective=number == 3, running=75 if number == 3 else 0)
        view.revision.number, view.revision.created_at_ms = number, _now_ms() - (4 - number) * DAY_MS
        view.revision.spec.name = f"web{mark}"
        view.revision.spec.task.container.image = f"registry.example/web:2.{number}"
        view.revision.spec.task.container.env.append(f"GREETING=hello {number}{mark}")
    return found


def _now_ms() -> int:
    return int(time.time() * 1000)
