"""What managers of a cluster that is made up answer about one object: a container, an image, a service, files."""

import json
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable

from google.protobuf.message import Message

from shoal.api.v1.control_pb2 import (
    ClusterView,
    ServiceView,
)
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    DirectoryEntries,
    ImageView,
    PathStat,
)
from shoal.api.v1.service_pb2 import JobRun
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
        "GetContainer": container(),
        "GetImage": image(),
        "GetCluster": ClusterView(image_repository="registry:5000/shoal/pool"),
        "GetService": _service(),
    }


def streams() -> dict[str, Callable[[], AsyncIterable[Message]]]:
    """By method."""
    return {"ListDirectory": _directory}


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


def _service() -> ServiceView:
    found = ServiceView()
    found.service.meta.id, found.service.spec.name = "service3", "shop_search"
    for number, state in enumerate((JobRun.SUCCEEDED, JobRun.FAILED, JobRun.RUNNING), 1):
        found.status.runs.add(number=number, state=state, started_at_ms=_ago(4 - number), completed=number, desired=3)
    return found


async def _directory() -> AsyncGenerator[Message]:
    rows = [PathStat(name=name, mode=mode, size=size, modified_ns=_ago(9) * 10**6) for name, mode, size in FILES]
    yield DirectoryEntries(entries=rows)


def _ago(hours: int) -> int:
    return int(time.time() * 1000) - hours * HOUR_MS
