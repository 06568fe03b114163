"""A commit as nodes and managers make it: a real container, its image in another registry, the cluster's repository."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.commits.layer_commits import LayerCommits
from agent.images.image_store import ImageStore
from agent.runtime.oci_runtime import OciRuntime
from agent.streams.copy_pause import CopyPause
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image
from cli.images.pack import write_archive
from cli.images.push import push
from manager.images.image_repository_client import ImageRepositoryClient
from manager.store.changes import put
from manager.store.kinds import CLUSTER_SETTINGS
from shoal.api.v1.agent_containers_pb2 import CommitLayerRequest, CommitLayerResponse
from shoal.api.v1.cluster_pb2 import ClusterSettings
from shoal.distribution.manifests import Descriptor
from shoal.distribution.registries import Registries
from shoal.errors import Refused, Unavailable
from shoal.ids import new_id
from shoal.images.committed_image import CommitNote, CommittedLayer, ImageBelow, committed_image
from tests.fakes.containers import Ends, log_lines, new_cgroup, open_test_runtime, shell
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.integration.images.rig import Entry, directory, entry, ignore, image_of, layer_of, store_in, symlink
from tests.integration.registry_fixture import running_registry

BUSYBOX = Path("/usr/bin/busybox").read_bytes()
COUNT = "mkdir /new; echo hello > /new/file; rm /top; echo ready; i=0; while :; do i=$((i+1)); echo $i > /count; done"


@dataclass
class Rig:
    """A node with its runtime and images, and the cluster's repository on another registry than the image's."""

    directory: Path
    cgroup: str
    runtime: OciRuntime
    ends: Ends
    images: ImageStore
    image: Image
    repository: str
    source: str

    @property
    def pause(self) -> CopyPause:
        return CopyPause(task_of=self.runtime.task_of, tasks=self.runtime)

    def request(self, container: str, image: str = "") -> CommitLayerRequest:
        return CommitLayerRequest(container=container, image_repository=self.repository, image=image)

    async def commit(self, request: CommitLayerRequest) -> CommitLayerResponse:
        commits = LayerCommits(containers=self.runtime, images=self.images)
        return await commits.commit(request, pause=self.pause.during)

    async def kept(self, script: str) -> ContainerRequest:
        """A running container of one's own, once it has said so."""
        container = new_id()
        await self.runtime.make_root(container, self.image, volatile=False)
        request = replace(shell(self.image, script), container_id=container, volatile=False)
        await self.runtime.start(request)
        async for line in log_lines(self.runtime, request.task_id, follow=True):
            assert line.data == b"ready"
            break
        return request


@asynccontextmanager
async def rig(path: Path) -> AsyncGenerator[Rig]:
    tools: list[Entry] = [directory("bin"), entry("bin/busybox", BUSYBOX, mode=0o755)]
    tools += [symlink(f"bin/{name}", "busybox") for name in ("sh", "echo", "mkdir", "rm", "sleep", "cat")]
    write_archive(path / "image.tar", [image_of(layer_of(*tools), layer_of(entry("top", b"top")))], tag="1")
    ends, cgroup = Ends(), new_cgroup()
    async with running_registry(path / "source") as source, running_registry(path / "cluster") as cluster:
        reference = f"127.0.0.1:{source.port}/team/box:1"
        pushed = await push(path / "image.tar", reference, Registries(), ignore)
        images = store_in(path / "images", Registries())
        image = await images.ensure(f"{reference.rpartition(':')[0]}@{pushed.digest}", lambda _: None)
        async with open_test_runtime(path, ends, cgroup) as runtime:
            try:
                yield Rig(path, cgroup, runtime, ends, images, image, f"127.0.0.1:{cluster.port}/shoal/pool", reference)
            finally:
                await runtime.reset()
                await images.aclose()


def play(path: Path, scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(90), rig(path) as found:
            await scenario(found)

    asyncio.run(run())


async def await_progress(found: Rig, request: ContainerRequest) -> None:
    """Until it has gone on."""

    async def cpu_ns() -> int:
        return (await found.runtime.stats([request.task_id]))[request.task_id].cpu_ns

    before = await cpu_ns()
    async with asyncio.timeout(60):
        while await cpu_ns() <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def published(found: Rig, answer: CommitLayerResponse, name: str) -> str:
    """As a manager does it; the digest."""
    blob = Descriptor(answer.media_type, answer.digest, answer.size) if answer.digest else None
    below = ImageBelow(answer.manifest, answer.config)
    image = committed_image(
        below, CommittedLayer(blob, answer.diff_id), {"Cmd": ["sh"]}, CommitNote("2026-01-02T03:04:05Z")
    )
    async with loaded_store(MemoryEtcd()) as store:
        await store.commit([put(CLUSTER_SETTINGS, "", ClusterSettings(image_repository=found.repository))])
        async with ImageRepositoryClient(view=store.tables, registries=Registries()) as client:
            record = await client.publish(image, name)
            assert await client.has(record.digest) and record.name == name
            assert json.loads(record.variants[0].config)["config"] == {"Cmd": ["sh"]}
            return record.digest


def test_a_running_container_becomes_an_image_that_another_node_runs(tmp_path: Path) -> None:
    async def scenario(found: Rig) -> None:
        request = await found.kept(COUNT)
        answer = await found.commit(found.request(request.container_id))
        await await_progress(found, request)
        digest = await published(found, answer, "docker.io/library/mine:1")
        assert not list((tmp_path / "images/temporary").iterdir())
        other = store_in(tmp_path / "other", Registries())
        try:
            other.set_cluster_repository(found.repository)
            image = await other.ensure(f"mine@{digest}", lambda _: None)
            assert len(image.layers) == 3, "those below were copied from the image's own registry"
            upper = image.layers[0]
            assert (upper / "new/file").read_text() == "hello\n"
            assert image.config.command == ("sh",)
            script = "cat /new/file; test ! -e /top && echo gone"
            again = shell(image, script)
            await found.runtime.start(again)
            assert (await found.ends.of(again.task_id)).code == 0
            assert [line.data async for line in log_lines(found.runtime, again.task_id)] == [b"hello", b"gone"]
        finally:
            await other.aclose()

    play(tmp_path, scenario)


def test_stopped_and_unchanged_containers(tmp_path: Path) -> None:
    async def scenario(found: Rig) -> None:
        container = new_id()
        await found.runtime.make_root(container, found.image, volatile=False)
        empty = await found.commit(found.request(container))
        assert not empty.digest
        first = await published(found, empty, "docker.io/library/same:1")
        request = await found.kept("echo x > /x; echo ready")
        await found.ends.of(request.task_id)
        await found.runtime.remove(request.task_id, keep_logs=False)
        answer = await found.commit(found.request(request.container_id))
        assert await published(found, answer, "docker.io/library/same:1") != first
        again = await found.commit(found.request(request.container_id))
        assert (again.digest, again.diff_id) == (answer.digest, answer.diff_id), "the same bytes each time"

    play(tmp_path, scenario)


def test_a_task_of_a_service_has_the_image_of_its_template(tmp_path: Path) -> None:
    async def scenario(found: Rig) -> None:
        task = shell(found.image, "echo x > /x; sleep 1000")
        await found.runtime.start(task)
        with pytest.raises(Refused, match="not known"):
            await found.commit(found.request(task.task_id))
        answer = await found.commit(found.request(task.task_id, f"box@{found.image.digest}"))
        await published(found, answer, "docker.io/library/task:1")

    play(tmp_path, scenario)


def test_a_commit_that_fails_or_is_cancelled_leaves_it_running(tmp_path: Path) -> None:
    async def scenario(found: Rig) -> None:
        request = await found.kept(COUNT)
        lost = found.request(request.container_id)
        lost.image_repository = "127.0.0.1:1/none"
        with pytest.raises(Unavailable):
            await found.commit(lost)
        await await_progress(found, request)
        for delay in (0.0, 0.002, 0.005, 0.01, 0.02, 0.05):
            running = asyncio.create_task(found.commit(found.request(request.container_id)))
            await asyncio.sleep(delay)
            running.cancel()
            await asyncio.wait([running])
            assert not await found.runtime.is_paused(request.task_id)
        await await_progress(found, request)
        assert not list((tmp_path / "images/temporary").iterdir())

    play(tmp_path, scenario)
