"""What one task writes at a time is never written by two, whatever moves it: the end before is confirmed first."""

import pytest

from manager.planner.spec.mount_rules import is_exclusive
from manager.store import kinds
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import World


def bound(*, shared: bool = False, failover_after_ms: int | None = None, source: str = "/srv/db") -> ServiceSpec:
    spec = ServiceSpec()
    spec.replicated.replicas = 1
    spec.task.container.image = "db:1"
    mount = Mount(type=Mount.BIND, source=source, target="/data", shared=shared)
    if failover_after_ms is not None:
        mount.volume.failover_after_ms = failover_after_ms
    spec.task.container.mounts.append(mount)
    spec.task.restart.delay_ms = 0
    spec.update.order = UpdateConfig.START_FIRST
    return spec


def started(spec: ServiceSpec) -> World:
    cluster = World()
    for number in range(1, 4):
        cluster.node(f"h{number}")
    cluster.service("db", spec)
    cluster.settle()
    return cluster


def max_at_once(cluster: World, rounds: int = 12) -> int:
    most = 0
    for _ in range(rounds):
        cluster.plan()
        most = max(most, len(cluster.live("db")))
        cluster.obey()
        cluster.now_ms += 1_000
    return most


@pytest.mark.parametrize(
    ("mount", "exclusive"),
    [
        (Mount(type=Mount.BIND, source="/srv"), True),
        (Mount(type=Mount.BIND, source="/srv", read_only=True), False),
        (Mount(type=Mount.BIND, source="/srv", shared=True), False),
        (Mount(type=Mount.BIND, source="/var/run/docker.sock"), False),
        (Mount(type=Mount.BIND, source="/running"), True),
        (Mount(type=Mount.TMPFS), False),
        (Mount(type=Mount.VOLUME), False),
        (Mount(type=Mount.VOLUME, source="v1"), True),
        (Mount(type=Mount.VOLUME, source="v1", shared=True), False),
        (Mount(type=Mount.VOLUME, source="v1", volume=VolumeOptions(options={"type": "nfs"})), True),
        (Mount(type=Mount.VOLUME, source="v1", volume=VolumeOptions(options={"type": "tmpfs"})), False),
        (Mount(type=Mount.VOLUME, source="v1", volume=VolumeOptions(driver="d", single_node=True)), True),
        (Mount(type=Mount.VOLUME, source="v1", volume=VolumeOptions(driver="d")), False),
    ],
)
def test_what_belongs_to_one_task_at_a_time(mount: Mount, exclusive: bool) -> None:
    assert is_exclusive(mount) == exclusive


@pytest.mark.parametrize("shared", [False, True])
def test_neither_a_drain_nor_an_update_overlaps_unless_shared(shared: bool) -> None:
    cluster = started(bound(shared=shared))
    (task,) = cluster.running("db")
    cluster.set_availability(task.node_id, NodeSpec.DRAIN)
    assert max_at_once(cluster) == 1 + shared
    (moved,) = cluster.running("db")
    assert moved.node_id != task.node_id
    spec = bound(shared=shared)
    spec.task.container.image = "db:2"
    cluster.service("db", spec)
    assert max_at_once(cluster) == 1 + shared


def test_a_lost_nodes_task_is_replaced_once_the_node_is_given_up() -> None:
    cluster = started(bound())
    (task,) = cluster.running("db")
    cluster.set_state(task.node_id, NodeStatus.DOWN)
    cluster.settle()
    (waiting,) = [each for each in cluster.tasks("db") if not each.node_id]
    assert (
        f"for node {task.node_id}, which is down and may still run task {task.id}: bind mount /srv/db is not marked as "
        f"shared; it starts when the node is back, after `shoal node rm {task.node_id}`, or after 24 hours"
    ) in waiting.reason
    cluster.put(kinds.NODE, task.node_id, None)
    cluster.put(kinds.NODE_STATUS, task.node_id, None)
    cluster.settle()
    assert len(cluster.running("db")) == 1


def test_it_starts_when_the_node_is_back_and_has_stopped_it() -> None:
    cluster = started(bound())
    (task,) = cluster.running("db")
    cluster.set_state(task.node_id, NodeStatus.DOWN)
    cluster.settle()
    cluster.set_state(task.node_id, NodeStatus.READY)
    assert max_at_once(cluster) <= 2  # the record that waits, and the one that is stopped
    assert len(cluster.running("db")) == 1


def test_after_the_hold_it_is_replaced_and_a_day_is_long_enough() -> None:
    for spec, wait_ms in ((bound(failover_after_ms=30_000), 30_000), (bound(), 24 * 3_600_000)):
        cluster = started(spec)
        (task,) = cluster.running("db")
        cluster.set_state(task.node_id, NodeStatus.DOWN)
        cluster.plan()
        cluster.now_ms += wait_ms - 1
        cluster.plan()
        assert not [each for each in cluster.tasks("db") if each.node_id and each.id != task.id]
        cluster.now_ms += 1
        cluster.settle()
        (runs,) = [each for each in cluster.running("db") if each.id != task.id]
        assert runs.node_id != task.node_id


def test_a_shared_bind_or_a_stateless_service_is_replaced_at_once() -> None:
    cluster = started(bound(shared=True))
    (task,) = cluster.running("db")
    cluster.set_state(task.node_id, NodeStatus.DOWN)
    cluster.settle()
    assert [each.node_id for each in cluster.running("db") if each.node_id != task.node_id]


def test_a_new_slot_waits_for_the_end_of_an_old_one() -> None:
    cluster = started(bound())
    spec = bound()
    for replicas in (3, 1):
        spec.replicated.replicas = replicas
        cluster.service("db", spec)
        cluster.settle()
    spec.replicated.replicas = 0
    cluster.service("db", spec)
    cluster.plan()
    spec.replicated.replicas = 1
    cluster.service("db", spec)
    for _ in range(6):
        cluster.plan()
        placed = [task for task in cluster.live("db") if task.node_id]
        assert len(placed) <= 1
        cluster.now_ms += 1_000
    cluster.settle()
    assert len(cluster.running("db")) == 1


def test_declaring_it_shared_restarts_nothing() -> None:
    cluster = started(bound())
    (task,) = cluster.running("db")
    cluster.service("db", bound(shared=True, failover_after_ms=5_000))
    cluster.settle()
    assert [each.id for each in cluster.running("db")] == [task.id]
    assert cluster.tables.services["db"].task_revision == 1
    assert task.desired_state == TaskState.RUNNING
