"""A volume of a service with one task has a home: the task goes where the data is, waits for it, and says so."""

import re

import pytest

from manager.store import kinds
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.node_pb2 import Node, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import ReplicatedJob, ServiceSpec, UpdateConfig
from shoal.api.v1.task_pb2 import TaskState
from shoal.api.v1.volume_pb2 import LocalVolume, NodeVolumes, Volume, VolumeHome, VolumeMove
from tests.fakes.planner_world import GIB, World


def world(nodes: int = 3) -> World:
    made = World()
    for number in range(1, nodes + 1):
        made.node(f"h{number}")
    return made


def database(
    replicas: int = 1, *, image: str = "db:1", failover_after_ms: int | None = None, **options: str
) -> ServiceSpec:
    spec = ServiceSpec()
    spec.replicated.replicas = replicas
    spec.task.container.image = image
    use = VolumeOptions(name="data", failover_after_ms=failover_after_ms, options=options)
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", target="/data", volume=use))
    spec.task.restart.delay_ms = 0
    return spec


def home(cluster: World) -> str:
    return cluster.tables.volume_homes["v1/0"].node_id


def on(cluster: World, service: str = "db") -> list[str]:
    return [task.node_id for task in cluster.running(service)]


def started(nodes: int = 3, spec: ServiceSpec | None = None) -> World:
    cluster = world(nodes)
    cluster.service("db", spec or database())
    cluster.settle()
    return cluster


def test_the_first_placement_makes_the_home_before_the_task() -> None:
    cluster = world()
    cluster.service("db", database())
    order = [write.kind.name for write in cluster.plan().writes]
    assert order.index("volume home") < order.index("task")
    cluster.obey()
    assert on(cluster) == [home(cluster)]


def test_three_exits_bring_it_back_to_the_same_data() -> None:
    cluster = started()
    at_home = home(cluster)
    for _ in range(8):
        (task,) = cluster.running("db")
        cluster.report(task, TaskState.FAILED)
        cluster.settle()
        assert on(cluster) == [at_home]


@pytest.mark.parametrize("order", [UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST])
def test_an_update_and_a_rebalance_never_have_two_at_once(order: UpdateConfig.Order.ValueType) -> None:
    spec = database()
    spec.update.order = order
    cluster = started(2, spec)
    at_home = home(cluster)
    spec.task.container.image = "db:2"
    cluster.service("db", spec)
    cluster.rebalance("db")
    for _ in range(20):
        cluster.plan()
        assert len(cluster.live("db")) <= 1
        cluster.obey()
        cluster.now_ms += 100
    assert on(cluster) == [at_home]


def test_a_drain_of_its_home_waits_and_says_for_what_until_its_deadline() -> None:
    cluster = started()
    at_home = home(cluster)
    cluster.set_availability(at_home, NodeSpec.DRAIN)
    cluster.settle()
    assert on(cluster) == [at_home], "what serves is not given up while the drain has time"
    (reported,) = cluster.tables.service_status["db"].problems
    assert reported == (
        f"task 1 stays on node {at_home}, which is drained: volume data is there; move it with `shoal volume move`"
    )
    node = Node()
    node.CopyFrom(cluster.tables.nodes[at_home])
    node.spec.drain_deadline_ms = cluster.now_ms
    cluster.put(kinds.NODE, at_home, node)
    cluster.settle()
    (waiting,) = [task for task in cluster.tasks("db") if not task.node_id]
    assert re.fullmatch(
        rf"waiting since 20\S+Z for volume data on node {at_home}, which is drained; start it there with "
        rf"`shoal node update --availability active {at_home}`, or move the data with "
        rf"`shoal volume move data --to NODE`",
        waiting.reason,
    )
    cluster.set_availability(at_home, NodeSpec.ACTIVE)
    cluster.settle()
    assert on(cluster) == [at_home]


def test_it_waits_for_a_lost_node_and_removing_the_node_gives_the_data_up() -> None:
    cluster = started()
    at_home = home(cluster)
    cluster.set_state(at_home, NodeStatus.DOWN)
    cluster.settle()
    cluster.now_ms += 25 * 3_600_000
    cluster.settle()
    assert not on(cluster)
    (waiting,) = [task for task in cluster.tasks("db") if not task.node_id]
    assert f"for volume data on node {at_home}, which is down" in waiting.reason
    cluster.put(kinds.NODE, at_home, None)
    cluster.put(kinds.NODE_STATUS, at_home, None)
    cluster.settle()
    assert on(cluster) == [home(cluster)] != [at_home]


def test_after_the_hold_it_begins_anew_elsewhere() -> None:
    cluster = started(spec=database(failover_after_ms=60_000))
    at_home = home(cluster)
    cluster.set_state(at_home, NodeStatus.DOWN)
    cluster.plan()
    assert not on(cluster) or on(cluster) == [at_home]
    cluster.now_ms += 60_000
    cluster.settle()
    cluster.set_state(at_home, NodeStatus.READY)
    cluster.settle()
    assert on(cluster) == [home(cluster)] != [at_home]


def test_a_full_home_is_waited_for() -> None:
    spec = database()
    spec.task.reservations.memory_bytes = GIB // 2
    cluster = started(2, spec)
    at_home = home(cluster)
    other = database()
    del other.task.container.mounts[:]
    other.task.placement.constraints.append(f"node.hostname == {at_home}")
    other.task.reservations.memory_bytes = 3 * GIB // 4
    cluster.service("db", database(0))
    cluster.settle()
    cluster.service("other", other)
    cluster.settle()
    cluster.service("db", spec)
    cluster.settle()
    (waiting,) = cluster.tasks("db")
    assert f"on node {at_home}, which lacks 512 MiB of memory; free resources there" in waiting.reason
    cluster.remove_service("other")
    cluster.settle()
    assert on(cluster) == [at_home]


def test_scaling_down_to_one_keeps_the_task_at_home() -> None:
    cluster = started()
    at_home = home(cluster)
    for replicas in (3, 1):
        cluster.service("db", database(replicas))
        cluster.settle()
    assert on(cluster) == [at_home] == [home(cluster)]


def test_what_runs_already_makes_its_node_the_home() -> None:
    cluster = started(spec=database(3))
    assert not cluster.tables.volume_homes
    cluster.service("db", database(1))
    cluster.settle()
    assert on(cluster) == [home(cluster)]


def test_data_that_was_there_before_volumes_had_homes_is_found() -> None:
    cluster = world()
    held = LocalVolume(volume_id="v1", name="data", created_at_ms=5)
    cluster.put(kinds.NODE_VOLUMES, "h3", NodeVolumes(node_id="h3", volumes=[held]))
    cluster.service("db", database())
    cluster.settle()
    assert on(cluster) == ["h3"] == [home(cluster)]


def test_a_new_service_starts_where_the_data_is_and_once_the_old_one_has_ended() -> None:
    cluster = started()
    at_home = home(cluster)
    cluster.remove_service("db")
    cluster.service("db2", database())
    cluster.plan()
    cluster.plan()
    assert [task.state for task in cluster.tasks("db2")] == [TaskState.PENDING]
    assert "has ended, which uses data" in cluster.tasks("db2")[0].reason
    cluster.settle()
    assert on(cluster, "db2") == [at_home]


def test_a_job_of_one_task_goes_where_the_data_is() -> None:
    cluster = started()
    backup = database()
    backup.replicated_job.CopyFrom(ReplicatedJob(total_completions=1))
    cluster.service("backup", backup)
    cluster.plan()
    assert [task.node_id for task in cluster.tasks("backup") if task.node_id] in ([], [home(cluster)])
    cluster.plan()
    assert [task.node_id for task in cluster.tasks("backup")] == [home(cluster)]


@pytest.mark.parametrize("kind", ["nfs", "cifs", "tmpfs", "fuse.sshfs"])
def test_network_file_systems_and_memory_have_no_home(kind: str) -> None:
    cluster = started(spec=database(type=kind, device="server:/x"))
    assert not cluster.tables.volume_homes
    (before,) = on(cluster)
    cluster.set_availability(before, NodeSpec.DRAIN)
    cluster.settle()
    assert on(cluster) != [before]


def test_a_move_stops_the_task_holds_it_back_and_starts_it_at_the_new_home() -> None:
    cluster = started()
    at_home = home(cluster)
    to = next(name for name in ("h1", "h2", "h3") if name != at_home)
    volume = Volume(moves=[VolumeMove(from_node_id=at_home, to_node_id=to, started_at_ms=cluster.now_ms)])
    volume.meta.id, volume.spec.name = "v1", "data"
    cluster.put(kinds.VOLUME, "v1", Volume(meta=volume.meta, spec=volume.spec))
    cluster.settle()
    assert on(cluster) == [at_home]
    cluster.put(kinds.VOLUME, "v1", volume)
    cluster.settle()
    assert not cluster.running("db")
    (waiting,) = [task for task in cluster.tasks("db") if not task.node_id]
    assert waiting.reason == f"waiting: volume data is being moved to node {to}"
    moved = Volume(meta=volume.meta, spec=volume.spec)
    moved.homes.append(VolumeHome(volume_id="v1", node_id=to, since_ms=cluster.now_ms + 1))
    cluster.put(kinds.VOLUME, "v1", moved)
    cluster.settle()
    assert on(cluster) == [to] == [home(cluster)]
