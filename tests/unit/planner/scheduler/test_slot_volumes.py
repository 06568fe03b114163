"""Slots stay where their volumes lie: across ends, updates, drains and lost nodes."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from manager.store import kinds
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Replicated, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import TaskState
from shoal.api.v1.volume_pb2 import VolumeHome
from tests.fakes.planner_world import World


def world(nodes: int = 3) -> World:
    made = World()
    for number in range(1, nodes + 1):
        made.node(f"h{number}")
    return made


def database(replicas: int = 3, *, failover_after_ms: int | None = None, image: str = "db:1") -> ServiceSpec:
    spec = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate())
    spec.task.container.image = image
    use = VolumeOptions(name="data", per_slot=True, failover_after_ms=failover_after_ms)
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", target="/data", volume=use))
    spec.task.restart.delay_ms = 0
    return spec


def homes(cluster: World) -> dict[int, str]:
    return {record.slot: record.node_id for record in cluster.tables.volume_homes.values()}


def running(cluster: World) -> dict[int, str]:
    return {task.slot: task.node_id for task in cluster.tasks("db") if task.desired_state == TaskState.RUNNING}


def settle(cluster: World, rounds: int = 8) -> None:
    for _ in range(rounds):
        cluster.plan()
        cluster.obey()
        cluster.now_ms += 1000


def test_where_a_slots_volume_lies_is_written_before_its_task() -> None:
    cluster = world()
    cluster.service("db", database())
    outcome = cluster.plan()
    order = [write.kind.name for write in outcome.writes]
    assert order[:3] == ["volume home"] * 3 and "task" in order[3:]
    assert homes(cluster) == running(cluster)
    assert not [write for write in cluster.plan().writes if write.kind.name == "volume home"]


def test_an_update_and_a_scale_keep_every_slot_at_home() -> None:
    cluster = world()
    cluster.service("db", database())
    settle(cluster)
    before = homes(cluster)
    cluster.service("db", database(image="db:2"))
    settle(cluster, 30)
    assert running(cluster) == before == homes(cluster)
    cluster.service("db", database(1, image="db:2"))
    settle(cluster)
    cluster.service("db", database(3, image="db:2"))
    settle(cluster)
    assert running(cluster) == before


def test_a_slot_waits_for_its_node_and_says_why() -> None:
    cluster = world()
    cluster.service("db", database())
    settle(cluster)
    (slot,) = [slot for slot, node in homes(cluster).items() if node == "h2"]
    cluster.set_state("h2", NodeStatus.DOWN)
    settle(cluster)
    (waiting,) = [task for task in cluster.tasks("db") if task.state == TaskState.PENDING]
    assert waiting.slot == slot
    assert re.fullmatch(
        r"waiting since 20\d\d-\S+Z for volume data on node h2, which is down; it starts when the node is back; "
        r"discard the data with `shoal node rm h2`",
        waiting.reason,
    )
    cluster.set_state("h2", NodeStatus.READY)
    settle(cluster)
    assert running(cluster)[slot] == "h2"


def test_after_the_hold_it_moves() -> None:
    cluster = world()
    cluster.service("db", database(failover_after_ms=60_000))
    settle(cluster)
    (slot,) = [slot for slot, node in homes(cluster).items() if node == "h2"]
    cluster.set_state("h2", NodeStatus.DOWN)
    settle(cluster)
    assert slot in [task.slot for task in cluster.tasks("db") if "; fails over at 20" in task.reason]
    cluster.now_ms += 60_000
    settle(cluster)
    assert running(cluster)[slot] != "h2" and homes(cluster)[slot] == running(cluster)[slot]


def test_a_removed_node_gives_its_volumes_up() -> None:
    cluster = world()
    cluster.service("db", database())
    settle(cluster)
    (slot,) = [slot for slot, node in homes(cluster).items() if node == "h2"]
    cluster.put(kinds.NODE, "h2", None)
    cluster.put(kinds.NODE_STATUS, "h2", None)
    settle(cluster)
    assert running(cluster)[slot] in ("h1", "h3") and homes(cluster)[slot] == running(cluster)[slot]


def test_volumes_on_different_nodes_are_told() -> None:
    cluster = world()
    cluster.service("db", database(1))
    settle(cluster)
    (home,) = homes(cluster).values()
    other = next(name for name in ("h1", "h2") if name != home)
    second = database(1, image="db:2")
    use = VolumeOptions(name="logs", per_slot=True)
    second.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v2", target="/logs", volume=use))
    cluster.put(kinds.VOLUME_HOME, "v2/1", VolumeHome(volume_id="v2", slot=1, node_id=other))
    cluster.service("db", second)
    settle(cluster, 20)
    reported = "volumes data and logs of task 1 are on different nodes; move them to one node with `shoal volume move`"
    assert any(task.reason == reported for task in cluster.tasks("db"))


@given(st.lists(st.tuples(st.sampled_from(["down", "up", "drain", "active", "image"]), st.integers(1, 4)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_without_a_hold_no_slot_ever_runs_away_from_its_volume(events: list[tuple[str, int]]) -> None:
    cluster = world(4)
    cluster.service("db", database(4))
    settle(cluster)
    first = homes(cluster)
    for count, (event, number) in enumerate(events):
        name = f"h{number}"
        match event:
            case "down":
                cluster.set_state(name, NodeStatus.DOWN)
            case "up":
                cluster.set_state(name, NodeStatus.READY)
            case "drain":
                cluster.set_availability(name, NodeSpec.DRAIN)
            case "active":
                cluster.set_availability(name, NodeSpec.ACTIVE)
            case _:
                cluster.service("db", database(4, image=f"db:{count + 2}"))
        settle(cluster, 3)
        assert homes(cluster) == first
        assert all(not task.node_id or task.node_id == first[task.slot] for task in cluster.tasks("db"))


def test_several_slots_share_a_node() -> None:
    cluster = world(1)
    cluster.service("db", database(3))
    settle(cluster)
    assert set(running(cluster).values()) == {"h1"} and len(homes(cluster)) == 3
