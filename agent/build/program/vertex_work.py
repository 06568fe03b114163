"""The work of one vertex: finds its result in the cache, or makes it."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from agent.build.program.agent_connection import AgentConnection
from agent.build.program.build_plan import PlannedVertices
from agent.build.program.caching.cache_images import CacheImages
from agent.build.program.caching.layer_cache import LayerCache
from agent.build.program.caching.vertex_keys import vertex_key
from agent.build.program.copying.copy_step import CopyFiles, make_directory
from agent.build.program.planning import BaseImages
from agent.build.program.publication.layer_blob import BlobWriter, LayerBlob
from agent.build.program.publication.layer_digest import layer_digest
from agent.build.program.results import Layer, Layers, Result
from agent.build.program.running.oci_run import OnOutput
from agent.build.program.running.run_mount_sources import RunMounts
from agent.build.program.running.run_step import RunSteps
from agent.build.program.running.ssh_forwarding import SshForwarding
from agent.build.program.sources.context_input import ContextInput
from agent.build.program.sources.remote_files import RemoteSources
from agent.build.program.workspace import Workspace
from shoal.api.v1.builds_pb2 import BuildOutput, VertexLog
from shoal.dockerfile.graph.vertices import (
    ConfigVertex,
    ContextVertex,
    CopyVertex,
    DirectoryVertex,
    ImageVertex,
    KeyedVertex,
    MergeVertex,
    RunVertex,
    ScratchVertex,
    Vertex,
)
from shoal.threaded_call import in_thread


@dataclass(frozen=True)
class Done:
    """Attributes: image_id: of an image of this step, for clients of the classic builder."""

    result: Result
    cached: bool = False
    image_id: str = ""


class LayerBlobs(Protocol):
    """`agent.build.program.publication.publishing.Publisher` is one."""

    def blob_writer(self) -> BlobWriter:
        """As `Publisher.blob_writer`."""
        ...

    def keep_blob(self, layer: Layer, blob: LayerBlob) -> None:
        """As `Publisher.keep_blob`."""
        ...


class VertexWork:
    """Makes results. For one event loop.

    Args:
        runs: makes what executes RUN, at its first use: facts of the host take some milliseconds to read.
        uses_cache: whether a vertex, by number, may be found in the cache.
        blobs: compresses layers as they are made; None: nothing is published.
        histories: only what these images have is found; None: all that is there.
        ssh_agents: of who builds.
    """

    def __init__(
        self,
        *,
        connection: AgentConnection,
        planned: PlannedVertices,
        workspace: Workspace,
        inputs: ContextInput,
        images: BaseImages,
        runs: Callable[[], RunSteps],
        cache: LayerCache,
        cache_root: Path,
        epoch: int | None,
        uses_cache: Callable[[int], bool],
        blobs: "LayerBlobs | None",
        histories: CacheImages | None,
        ssh_agents: SshForwarding,
    ) -> None:
        self._connection = connection
        self._planned = planned
        self._workspace = workspace
        self._inputs = inputs
        self._images = images
        self._make_runs = runs
        self._remotes = RemoteSources(workspace)
        self._cache = cache
        self._cache_root = cache_root
        self._epoch = epoch
        self._uses_cache = uses_cache
        self._blobs = blobs
        self._histories = histories
        self._ssh = ssh_agents

    @cached_property
    def _runs(self) -> RunSteps:
        return self._make_runs()

    def is_heavy(self, vertex: Vertex) -> bool:
        """Whether it needs a processor."""
        return isinstance(vertex, RunVertex | CopyVertex | DirectoryVertex)

    async def execute(self, number: int, vertex: Vertex, inputs: Sequence[Result]) -> Done:
        """The result of a vertex from those of its inputs, in their order.

        Raises:
            StepFailed, and what `RunSteps.run`, `CopyFiles.copy` and the agent raise.
        """
        if isinstance(vertex, ScratchVertex):
            return Done(Layers())
        if isinstance(vertex, ConfigVertex):
            return Done(inputs[0])
        if isinstance(vertex, ContextVertex):
            return Done(await self._inputs.tree(vertex.name))
        if isinstance(vertex, MergeVertex):
            below, linked = _layers(inputs[0]), _layers(inputs[1])
            return self._done(below.on_top(linked.layers[-1]))
        if isinstance(vertex, ImageVertex):
            return self._done((await self._images.get(vertex.source)).layers)
        return await self._layer(number, vertex, inputs)

    async def _layer(self, number: int, vertex: KeyedVertex, inputs: Sequence[Result]) -> Done:
        below = Layers() if vertex.parent is None else _layers(inputs[0])
        sources = await self._sources(vertex, inputs)
        copied = await self._copied(vertex, sources)
        key = await vertex_key(vertex, below, sources, copied, self._workspace)
        description = self._planned.instructions.get(number, "")
        if self._uses_cache(number):
            known = not any(each.is_new for each in below.layers)
            found = await self._cache.find(key, description, ask_registry=known)
            if found is not None and await self._may_use(vertex, below, found):
                self._cache.use(key, found, description)
                return self._done(below.on_top(found), cached=True)
        present = await self._cache.present(below)
        made = await self._make(number, vertex, _layers(present), sources, copied)
        layer = await self._keep(made, key, description)
        self._cache.use(key, layer, description)
        return self._done(below.on_top(layer))

    async def _may_use(self, vertex: KeyedVertex, below: Layers, found: Layer) -> bool:
        if self._histories is None:
            return True
        return await self._histories.has(below, found, is_linked=vertex.parent is None)

    async def _copied(self, vertex: KeyedVertex, sources: Sequence[Result | None]) -> CopyFiles | None:
        """What a copy copies, fetched."""
        if not isinstance(vertex, CopyVertex):
            return None
        remotes = await self._remotes.get(vertex.action.remotes, vertex.action.flags)
        return CopyFiles(vertex.action, sources[0], self._workspace, remotes)

    async def _sources(self, vertex: KeyedVertex, inputs: Sequence[Result]) -> Sequence[Result | None]:
        """What is copied or mounted, on this host."""
        others = iter(inputs if vertex.parent is None else inputs[1:])
        if isinstance(vertex, CopyVertex):
            return [None if vertex.source is None else await self._cache.present(next(others))]
        if isinstance(vertex, RunVertex):
            return [None if each is None else await self._cache.present(next(others)) for each in vertex.mounted]
        return []

    async def _make(
        self,
        number: int,
        vertex: KeyedVertex,
        below: Layers,
        sources: Sequence[Result | None],
        copied: CopyFiles | None,
    ) -> Path:
        if isinstance(vertex, DirectoryVertex):
            return await in_thread(lambda: make_directory(vertex.action, below, self._workspace))
        if isinstance(vertex, CopyVertex):
            assert copied is not None
            return await in_thread(lambda: copied.copy(below))
        mounts = RunMounts(vertex.action, sources, self._inputs.secrets, self._workspace, self._cache_root, self._ssh)
        return await self._runs.run(vertex.action, below, mounts, self._on_output(number))

    async def _keep(self, made: Path, key: str, description: str) -> Layer:
        upper, stop = made / "u", threading.Event()
        diff_id, size, blob = await in_thread(lambda: self._digest(upper, stop), on_cancel=stop.set)
        made_at_ms = time.time_ns() // 1_000_000 if self._epoch is None else self._epoch * 1000
        layer = Layer(diff_id, upper, made_at_ms, is_new=True)
        await self._cache.add(key, layer, description, size)
        if self._blobs is not None and blob is not None:
            self._blobs.keep_blob(layer, blob)
        return layer

    def _digest(self, upper: Path, stop: threading.Event) -> tuple[str, int, LayerBlob | None]:
        """Diff ID, size and blob of an upper directory, which is read once."""
        if self._blobs is None:
            return (*layer_digest(upper, self._epoch, stop), None)
        with self._blobs.blob_writer() as writer:
            diff_id, size = layer_digest(upper, self._epoch, stop, writer.write)
            return diff_id, size, writer.finish()

    def _on_output(self, number: int) -> OnOutput:
        async def pass_on(stream: int, data: bytes) -> None:
            log = VertexLog(id=self._planned.ids[number], stream=stream, data=data)
            await self._connection.output(BuildOutput(log=log))

        return pass_on

    def _done(self, layers: Layers, *, cached: bool = False) -> Done:
        return Done(layers, cached, self.image_id(layers, 0))

    def image_id(self, result: Result, settings: int) -> str:
        """An id for a step that no image was made of: the same for the same files and number of settings after them."""
        if not isinstance(result, Layers):
            return ""
        return f"sha256:{hashlib.sha256(json.dumps([result.diff_ids, settings]).encode()).hexdigest()}"


def _layers(result: Result) -> Layers:
    assert isinstance(result, Layers)
    return result
