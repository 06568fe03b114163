"""What managers would answer about objects that the feed does not have, for pictures of the console's pages."""

import asyncio
import json
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable

from google.protobuf.message import Message

from shoal.api.v1.control_pb2 import (
    ClusterView,
    ListFilesResponse,
    ListManagersResponse,
    ListNetworksResponse,
    ListRevisionsResponse,
    ListVolumesResponse,
    NetworkView,
    ServiceView,
    StoreView,
)
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    DirectoryEntries,
    ImageView,
    ListContainersResponse,
    ListImagesResponse,
    PathStat,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import JobRun, ServiceRevision
from shoal.api.v1.task_pb2 import TaskState

HOUR_MS = 3_600_000
DIGEST = "sha256:" + "4abcf2066143" * 5 + "abcd"
FILES = (
    ("etc", stat.S_IFDIR | 0o755, 0),
    ("tmp", stat.S_IFDIR | 0o1777, 0),
    ("<b>note</b>.txt", stat.S_IFREG | 0o644, 5120),
)


def answers() -> dict[str, Message | Exception]:
    """By method."""
    return {
        "ListContainers": ListContainersResponse(containers=[container()]),
        "GetContainer": container(),
        "ListImages": ListImagesResponse(images=[image()]),
        "GetImage": image(),
        "GetCluster": ClusterView(image_repository="registry:5000/shoal/pool"),
        "ListNetworks": ListNetworksResponse(networks=[network()]),
        "GetNetwork": network(),
        "ListVolumes": _volumes(),
        "ListSecrets": _files("tls-key"),
        "ListConfigs": _files("site.conf"),
        "ListManagers": _managers(),
        "GetStore": StoreView(),
        "GetService": _service(),
        "ListRevisions": _revisions(),
    }


def streams() -> dict[str, Callable[[], AsyncIterable[Message]]]:
    """By method; they stay open."""
    return {"ListDirectory": _directory, "WatchEvents": _nothing, "Logs": _nothing, "Stats": _nothing}


def container() -> ContainerView:
    """One of one's own, that runs."""
    found = ContainerView(node_hostname="h2", command=["postgres", "-c", "shared_buffers=1GB"])
    found.container.meta.id, found.container.name, found.container.meta.created_at_ms = "c1", "db", _ago(5)
    found.task.id, found.task.state, found.task_status.state = "t1", TaskState.ASSIGNED, TaskState.RUNNING
    definition = found.container.definition
    definition.task.container.image = "docker.io/library/postgres:16"
    definition.task.container.env.extend(["POSTGRES_DB=shop", "NOTE=<script>alert(1)</script>\u202e"])
    definition.ports.add(target=5432, published=5432)
    definition.task.limits.memory_bytes, definition.task.limits.nano_cpus = 1 << 30, 1_500_000_000
    return found


def image() -> ImageView:
    """Of two names."""
    found = ImageView(names=["docker.io/library/postgres:16", "registry:5000/team/db:1"], node_ids=["node1", "node2"])
    found.image.digest, found.image.meta.created_at_ms = DIGEST, _ago(30)
    steps = [{"created_by": f"RUN step {number}", "created": "2026-01-31T12:00:00Z"} for number in range(4)]
    config = {"config": {"Cmd": ["postgres"], "Env": ["PATH=/bin"], "ExposedPorts": {"5432/tcp": {}}}, "history": steps}
    variant = found.image.variants.add(
        config=json.dumps(config).encode(),
        layers=[f"sha256:{number}" for number in range(4)],
        layer_bytes=[28_000_000, 1200, 90_000_000, 300],
        stored_bytes=118_000_000,
    )
    variant.platform.os, variant.platform.architecture = "linux", "amd64"
    return found


def network() -> NetworkView:
    """With tasks on two nodes."""
    found = NetworkView(services=["web1"], addresses=3)
    found.network.meta.id, found.network.spec.name, found.network.spec.driver = "n1", "front", "overlay"
    found.allocation.subnet = "10.0.1.0/24"
    for number in range(1, 4):
        name, host = f"web1.{number}", f"h{number % 2 + 1}"
        found.endpoints.add(task_id=f"t{number}", task_name=name, node_hostname=host, address=f"10.0.1.{number + 1}")
    for host in ("h1", "h2"):
        found.nodes.add(hostname=host, state=NodeStatus.READY, up_to_date=True)
    return found


def _volumes() -> ListVolumesResponse:
    found = ListVolumesResponse()
    view = found.volumes.add(services=["web1"])
    view.volume.meta.id, view.volume.spec.name, view.volume.spec.driver = "v1", "data", "local"
    view.locations.add(hostname="h2")
    return found


def _files(name: str) -> ListFilesResponse:
    found = ListFilesResponse()
    view = found.files.add(services=["web1"])
    view.meta.id, view.spec.name, view.meta.updated_at_ms = "f1", name, _ago(2)
    view.versions.add(version="1", size_bytes=1704)
    return found


def _managers() -> ListManagersResponse:
    found = ListManagersResponse()
    for number in range(1, 4):
        view = found.managers.add(alive=True, leader=number == 2, nodes=8, started_at_ms=_ago(70))
        view.manager.id, view.manager.api_address, view.manager.version = f"m{number}", f"10.0.0.{number}:7440", "0.1.0"
    return found


def _service() -> ServiceView:
    found = ServiceView()
    found.service.meta.id, found.service.spec.name = "service3", "web3"
    for number, state in enumerate((JobRun.SUCCEEDED, JobRun.FAILED, JobRun.RUNNING), 1):
        found.status.runs.add(number=number, state=state, started_at_ms=_ago(4 - number), completed=number, desired=3)
    return found


def _revisions() -> ListRevisionsResponse:
    found = ListRevisionsResponse()
    for number in (2, 1):
        revision = ServiceRevision(service_id="service3", number=number, created_at_ms=_ago(10 - number))
        revision.spec.task.container.image = f"registry:5000/hello:{number}"
        found.revisions.add(revision=revision, current=number == 2, effective=number == 2, running=75 * (number - 1))
    return found


async def _directory() -> AsyncGenerator[Message]:
    rows = [PathStat(name=name, mode=mode, size=size, modified_ns=_ago(9) * 10**6) for name, mode, size in FILES]
    yield DirectoryEntries(entries=rows)


async def _nothing() -> AsyncGenerator[Message]:
    await asyncio.Event().wait()
    yield ClusterView()


def _ago(hours: int) -> int:
    return int(time.time() * 1000) - hours * HOUR_MS
