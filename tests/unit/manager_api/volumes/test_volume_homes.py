"""A user's move of a volume: the record that the planner follows."""

from manager.store import kinds
from manager.volumes.volume_homes import begin_move, end_move, has_ended, home_of
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import Volume
from tests.fakes.planner_world import World


def test_a_moved_volume_is_stopped_held_back_and_started_at_its_new_home() -> None:
    cluster = World()
    for name in ("h1", "h2"):
        cluster.node(name)
    volume = Volume()
    volume.meta.id, volume.spec.name = "v1", "data"
    cluster.put(kinds.VOLUME, "v1", volume)
    spec = ServiceSpec()
    spec.replicated.replicas = 1
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", volume=VolumeOptions(name="data")))
    cluster.service("db", spec)
    cluster.settle()
    before = home_of(cluster.tables, volume, 0)
    to = {"h1": "h2", "h2": "h1"}[before]

    moving = begin_move(volume, slot=0, from_node_id=before, to_node_id=to, now_ms=cluster.now_ms)
    cluster.put(kinds.VOLUME, "v1", moving)
    cluster.plan()
    assert not has_ended(cluster.tables, moving, 0)
    cluster.settle()
    assert has_ended(cluster.tables, moving, 0) and not cluster.running("db")

    abandoned = end_move(moving, slot=0, home="", now_ms=cluster.now_ms)
    assert home_of(cluster.tables, abandoned, 0) == before and not abandoned.moves
    moved = end_move(moving, slot=0, home=to, now_ms=cluster.now_ms + 1)
    cluster.put(kinds.VOLUME, "v1", moved)
    assert home_of(cluster.tables, moved, 0) == to
    cluster.settle()
    assert [task.node_id for task in cluster.running("db")] == [to]
    assert cluster.tables.volume_homes["v1/0"].node_id == to
