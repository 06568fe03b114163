"""The engine's handlers over a manager's own handlers, planner and store, in one process, with agents that obey.

What runs is made up here: a container prints its command and ends with the code of `ContainerRig.exit_codes`, or not
at all.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

from engine.app import route_table
from engine.server.routes import RouteTable
from engine.settings import EngineSettings
from manager.cluster.cluster_handler import ClusterHandler
from manager.containers.node_calls.container_execs import ContainerExecs
from manager.images.image_handler import ImageHandler
from manager.networks.network_handler import NetworkHandler
from manager.networks.network_nodes import NetworkNodes
from manager.nodes.node_handler import NodeHandler
from manager.store import kinds
from manager.store.changes import put
from manager.volumes.volume_handler import VolumeHandler
from shoal import ids
from shoal.api.v1.builds_pb2 import ListBuildCacheResponse, PruneBuildCacheResponse
from shoal.api.v1.cluster_pb2 import Cluster, ClusterSettings
from shoal.api.v1.control_pb2 import (
    ListJoinTokensResponse,
    ListManagersResponse,
)
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    ListProcessesResponse,
    PathChange,
    PathChanges,
    ProcessRow,
)
from shoal.api.v1.meta_pb2 import Meta, Platform
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.api.v1.streams_pb2 import (
    ReadVolumeSizesResponse,
)
from shoal.distribution.registries import Registries
from shoal.errors import Unavailable
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.read_cache import CachedAnswer
from tests.contract.engine.rig.rig_programs import ExecAgents, Programs
from tests.fakes.loaded_store import loaded_store
from tests.fakes.managers import FakeManagers
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.manager_api.containers.container_rig import ContainerRig
from tests.unit.manager_api.control_rig import ADMIN, Api

R = TypeVar("R")

IMAGE = "docker.io/library/alpine:latest"
MISSING = "docker.io/library/missing:1"
DIGEST = "sha256:" + "a" * 64
CONFIG_DIGEST = "sha256:" + "cd" * 32
CONFIG = (
    b'{"created":"2026-11-23T22:00:37.941372Z","config":{"Env":["PATH=/usr/bin:/bin"],"Cmd":["/bin/sh"]},'
    b'"rootfs":{"type":"layers","diff_ids":["sha256:'
    + b"0e"
    * 32
    + b'"]},"history":[{"created":"2026-11-23T22:00:37Z",'
    b'"created_by":"/bin/sh -c #(nop) CMD","comment":"Imported from -"}]}'
)


class RigManagers(Managers):
    """Calls of the handlers themselves."""

    def __init__(self, rig: ContainerRig) -> None:
        self.rig = rig
        self._programs = Programs(rig)
        clock = rig.clock
        networks = NetworkHandler(
            store=rig.store,
            now_ms=clock,
            new_id=ids.new_id,
            nodes=NetworkNodes(applied=lambda _: (), peers=FakeManagers()),
        )
        volumes = VolumeHandler(store=rig.store, sizes=_NoSizes(), now_ms=clock, new_id=ids.new_id)
        nodes = NodeHandler(store=rig.store, now_ms=clock)
        rig.images.missing.add(MISSING)
        api = Api(rig.store, images=rig.images)
        images = ImageHandler(store=rig.store, contents=_AllContents(), now_ms=clock)
        unused: Any = None
        cluster = ClusterHandler(
            store=rig.store,
            tokens=unused,
            rotate_keys=unused,
            maintenance=unused,
            check_repository=unused,
            now_ms=clock,
            version="0.1.0",
        )
        execs = ContainerExecs(store=rig.store, agents=ExecAgents())
        untyped: Any = self
        untyped.control = _Calls(
            GetCluster=_unary(cluster.get),
            UpdateCluster=_unary(cluster.update),
            ListManagers=_answer(ListManagersResponse()),
            GetNode=_unary(nodes.get),
            ListNodes=_unary(nodes.list),
            CreateNetwork=_unary(networks.create),
            GetNetwork=_unary(networks.get),
            ListNetworks=_unary(networks.list),
            RemoveNetwork=_unary(networks.remove),
            CreateVolume=_unary(volumes.create),
            GetVolume=_unary(volumes.get),
            ListVolumes=_unary(volumes.list),
            RemoveVolume=_unary(volumes.remove),
            CreateService=_unary(api.services.create),
            GetService=_unary(api.services.get),
            ListServices=_unary(api.services.list),
            UpdateService=_unary(api.services.update),
            RollbackService=_unary(api.services.rollback),
            ListRevisions=_unary(api.updates.revisions),
            ListJoinTokens=_answer(ListJoinTokensResponse()),
            RemoveService=_unary(api.services.remove),
            ListTasks=_unary(api.tasks.list),
            UpdateNode=_unary(nodes.update),
            RemoveNode=_unary(nodes.remove),
            CreateSecret=_unary(api.secrets.create),
            GetSecret=_unary(api.secrets.get),
            ListSecrets=_unary(api.secrets.list),
            UpdateSecret=_unary(api.secrets.update),
            RemoveSecret=_unary(api.secrets.remove),
            CreateConfig=_unary(api.configs.create),
            GetConfig=_unary(api.configs.get),
            ListConfigs=_unary(api.configs.list),
            UpdateConfig=_unary(api.configs.update),
            RemoveConfig=_unary(api.configs.remove),
            Logs=self._programs.logs,
            WatchEvents=self._programs.events,
            Stats=self._programs.stats,
        )
        untyped.containers = _Calls(
            CreateContainer=_unary(rig.records.create),
            GetContainer=_unary(rig.records.get),
            ListContainers=_unary(rig.records.list),
            RenameContainer=_unary(rig.records.rename),
            UpdateContainer=_unary(rig.records.update),
            StartContainer=_unary(rig.runs.start),
            StopContainer=_unary(rig.runs.stop),
            RestartContainer=_unary(rig.runs.restart),
            RemoveContainer=_unary(rig.removal.remove),
            PruneContainers=_unary(rig.removal.prune),
            ConnectContainer=_unary(rig.networks.connect),
            DisconnectContainer=_unary(rig.networks.disconnect),
            WaitContainer=lambda request: rig.waits.wait(request, ADMIN),
            KillContainer=self._programs.kill,
            PauseContainer=self._programs.pause,
            AttachContainer=self._programs.attach,
            CreateExec=_unary(execs.create),
            GetExec=_unary(execs.get),
            StartExec=lambda messages: execs.start(aiter(messages), ADMIN),
            ResizeExec=_unary(execs.resize),
            ListProcesses=_answer(
                ListProcessesResponse(titles=["UID", "PID", "CMD"], processes=[ProcessRow(cells=["root", "1", "sh"])])
            ),
            ListChanges=_stream(PathChanges(changes=[PathChange(kind=PathChange.ADDED, path="/new")])),
            StatPath=self._programs.stat,
            ReadArchive=self._programs.read,
            WriteArchive=self._programs.write,
            ExportContainer=_stream(ArchiveChunk(data=b"tar")),
        )
        untyped.images = _Calls(
            GetImage=_unary(images.get),
            ListImages=_unary(images.list),
            SetImage=_unary(images.set),
            RemoveImage=_unary(images.remove),
            PruneImages=_unary(images.prune),
        )

        untyped.builds = _Calls(
            ListBuildCache=_answer(ListBuildCacheResponse()), PruneBuildCache=_answer(PruneBuildCacheResponse())
        )

    async def call(self, method: Callable[..., Awaitable[R]], request: object, *, seconds: float | None = None) -> R:
        return await method(request)

    async def read(self, method: Callable[..., Awaitable[R]], request: Any, *, view: str = "") -> CachedAnswer[R]:
        return CachedAnswer(await method(request))

    async def stream(self, method: Callable[..., AsyncIterable[R]], request: object) -> AsyncGenerator[R]:
        async for answer in method(request):
            yield answer


class _Calls(SimpleNamespace):
    """Of one service; what is not given is away."""

    def __getattr__(self, name: str) -> Callable[[object], "_Away"]:
        return lambda _: _Away(name)


class _Away:
    """A call that fails, of one answer or of many."""

    def __init__(self, name: str) -> None:
        self._error = Unavailable(f"{name} is not here")

    def __await__(self) -> Generator[None, None, object]:
        raise self._error

    def __aiter__(self) -> "_Away":
        return self

    async def __anext__(self) -> object:
        raise self._error


class _NoSizes:
    async def read_volume_sizes(self, *_: object) -> ReadVolumeSizesResponse:
        return ReadVolumeSizesResponse()


class _AllContents:
    async def has(self, digest: str, parts: Sequence[str] = ()) -> bool:
        return True

    async def forget(self, digest: str) -> None:
        return None


@asynccontextmanager
async def rig_routes(
    prepare: Callable[[ContainerRig], None] = lambda _: None, *, forbid: tuple[str, ...] = ()
) -> AsyncGenerator[RouteTable]:
    """The engine's routes over one manager with two nodes and the image `alpine`.

    Args:
        prepare: gets the rig, before it works.
        forbid: as of the engine's settings.
    """
    async with loaded_store(MemoryEtcd()) as store:
        rig = ContainerRig(store)
        for number in (1, 2):
            await rig.add_node(f"h{number}")
        await store.commit(
            [
                put(kinds.IMAGE, _image_key(), _image()),
                put(kinds.CLUSTER, "", Cluster(meta=Meta(id="c" * 13))),
                put(kinds.CLUSTER_SETTINGS, "", ClusterSettings(image_repository="registry:5000/pool")),
            ]
        )
        prepare(rig)
        async with rig.working():
            yield route_table(EngineSettings(home_node="h1", forbid=forbid), RigManagers(rig), Registries())


def _image() -> Image:
    variant = ImageVariant(
        platform=Platform(os="linux", architecture="amd64"),
        digest=DIGEST,
        config_digest=CONFIG_DIGEST,
        stored_bytes=1_986_040,
        layers=["sha256:" + "0e" * 32],
        layer_bytes=[1_986_040],
        config=CONFIG,
    )
    return Image(meta=Meta(id=_image_key()), name=IMAGE, digest=DIGEST, variants=[variant])


def _image_key() -> str:
    from hashlib import sha256

    return sha256(IMAGE.encode()).hexdigest()


def _unary(handler: Callable[..., Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    return lambda request: handler(request, ADMIN)


def _answer(response: Any) -> Callable[[Any], Awaitable[Any]]:
    async def answer(_: Any) -> Any:
        return response

    return answer


def _stream(response: Any) -> Callable[[Any], AsyncIterator[Any]]:
    async def answers(_: Any) -> AsyncIterator[Any]:
        yield response

    return answers
