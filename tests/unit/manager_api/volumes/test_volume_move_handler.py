"""Moves of volumes as users ask for them: what begins one, and all that is said before a task is stopped."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from manager.store import kinds
from manager.store.changes import Write, delete, put
from manager.store.store import Store
from manager.volumes.volume_move_handler import VolumeMoveHandler
from shoal.api.v1.container_pb2 import ContainerSpec, Mount, VolumeOptions
from shoal.api.v1.control_pb2 import CancelVolumeMoveRequest, MoveVolumeRequest
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Service, ServiceSpec, TaskTemplate
from shoal.api.v1.volume_pb2 import LocalVolume, NodeVolumes, StaleVolumeCopy, Volume, VolumeHome, VolumeSpec
from shoal.errors import Refused
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.manager_api.control_rig import ADMIN

NOW_MS = 9_000


def node(name: str, *, down: bool = False, drained: bool = False) -> list[Write]:
    state = NodeStatus.DOWN if down else NodeStatus.READY
    spec = NodeSpec(availability=NodeSpec.DRAIN if drained else NodeSpec.ACTIVE)
    status = NodeStatus(node_id=name, state=state, description=NodeDescription(hostname=name))
    return [put(kinds.NODE, name, Node(meta=Meta(id=name), spec=spec)), put(kinds.NODE_STATUS, name, status)]


def held(node_id: str, *slots: int) -> Write:
    volumes = [LocalVolume(volume_id="v", name="data", slot=slot) for slot in slots]
    return put(kinds.NODE_VOLUMES, node_id, NodeVolumes(node_id=node_id, volumes=volumes))


def volume(**more: object) -> list[Write]:
    spec = VolumeSpec(**{"name": "data", "driver": "local", **more})  # type: ignore[arg-type]
    return [
        put(kinds.VOLUME, "v", Volume(meta=Meta(id="v"), spec=spec)),
        put(kinds.NAME, "volume/data", Name(meta=Meta(id="v"))),
    ]


def home(node_id: str, slot: int = 0) -> Write:
    return put(kinds.VOLUME_HOME, f"v/{slot}", VolumeHome(volume_id="v", slot=slot, node_id=node_id, since_ms=1))


def service(replicas: int) -> Write:
    mount = Mount(type=Mount.VOLUME, source="v", target="/d", volume=VolumeOptions(name="data"))
    template = TaskTemplate(container=ContainerSpec(mounts=[mount]))
    spec = ServiceSpec(name="db", task=template)
    spec.replicated.replicas = replicas
    return put(kinds.SERVICE, "s", Service(meta=Meta(id="s"), spec=spec))


CLUSTER = [*node("h1"), *node("h2"), *node("h3"), *volume(), held("h1", 0), home("h1"), service(1)]


def on(writes: list[Write], scenario: Callable[[Store, VolumeMoveHandler], Awaitable[None]]) -> None:
    async def run() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            await store.commit(list({(each.kind.name, each.identifier): each for each in writes}.values()))
            await scenario(store, VolumeMoveHandler(store=store, now_ms=lambda: NOW_MS))

    asyncio.run(run())


def test_a_move_begins_once_and_is_cancelled_with_what_is_left_behind() -> None:
    async def scenario(store: Store, moves: VolumeMoveHandler) -> None:
        request = MoveVolumeRequest(volume="data", node="h2")
        view = await moves.move(request, ADMIN)
        (move,) = view.volume.moves
        assert (move.from_node_id, move.to_node_id, move.started_at_ms) == ("h1", "h2", NOW_MS)
        assert (await moves.move(request, ADMIN)).volume.meta.version == view.volume.meta.version, (
            "nothing is written again"
        )
        with pytest.raises(
            Refused, match="being moved to node h2; to cancel that move, run `shoal volume move --cancel data`"
        ):
            await moves.move(MoveVolumeRequest(volume="data", node="h3"), ADMIN)
        ended = (await moves.cancel(CancelVolumeMoveRequest(volume="data"), ADMIN)).volume
        assert not ended.moves
        left = StaleVolumeCopy(node_id="h2", created_at_ms=NOW_MS, home_node_id="h1")
        assert list(ended.stale_copies) == [left]
        with pytest.raises(Refused, match="not yet deleted an earlier copy"):
            await moves.move(request, ADMIN)
        with pytest.raises(Refused, match="is not being moved"):
            await moves.cancel(CancelVolumeMoveRequest(volume="data"), ADMIN)

    on(CLUSTER, scenario)


@pytest.mark.parametrize(
    ("writes", "to", "text"),
    [
        ([], "h1", "is already on node h1"),
        (node("h1", down=True), "h2", "node h1 is down"),
        (node("h2", down=True), "h2", "node h2 is down"),
        (node("h2", drained=True), "h2", "--availability active h2"),
        ([held("h2", 0)], "h2", "use `--replace`"),
        ([service(3)], "h2", "shoal service scale db=1"),
        (volume(driver="nfs.csi.k8s.io"), "h2", "driver nfs.csi.k8s.io"),
        (volume(options={"type": "nfs"}), "h2", "has mount options"),
        ([held("h1")], "h2", "has no data yet"),
        ([held("h1"), held("removed", 0), delete(kinds.VOLUME_HOME, "v/0")], "h2", "has no data yet"),
        ([held("h1", 1, 3)], "h2", r"use `--slot N` \(slots with data: 1, 3\)"),
        ([home("h3")], "h2", "none of them is its home"),
    ],
)
def test_what_stands_in_the_way_is_said(writes: list[Write], to: str, text: str) -> None:
    async def scenario(store: Store, moves: VolumeMoveHandler) -> None:
        with pytest.raises(Refused, match=text):
            await moves.move(MoveVolumeRequest(volume="data", node=to), ADMIN)
        assert not store.tables.volumes["v"].moves

    on([*CLUSTER, *writes], scenario)


def test_older_data_is_replaced_only_where_that_is_asked_for() -> None:
    async def scenario(_: Store, moves: VolumeMoveHandler) -> None:
        view = await moves.move(MoveVolumeRequest(volume="data", node="h2", replace=True), ADMIN)
        assert view.volume.moves[0].replace

    on([*CLUSTER, held("h2", 0)], scenario)


def test_a_slots_part_moves_by_itself() -> None:
    async def scenario(_: Store, moves: VolumeMoveHandler) -> None:
        view = await moves.move(MoveVolumeRequest(volume="data", node="h3", slot=2), ADMIN)
        (move,) = view.volume.moves
        assert (move.slot, move.from_node_id) == (2, "h2")

    on([*CLUSTER, held("h1", 1), held("h2", 2), home("h2", 2)], scenario)
