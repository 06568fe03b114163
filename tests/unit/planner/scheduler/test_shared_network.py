"""Tasks that share the network of another service's tasks: where those are, after them, and anew with them."""

import pytest

from manager.planner.scheduler.shared_network import choose_slot_numbers
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Global, NetworkAttachment, RestartPolicy, ServiceSpec, UpdateConfig
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.planner_world import GIB, World


def spec(replicas: int = 1, *, of: str = "", image: str = "a:1", memory: int = 0) -> ServiceSpec:
    made = ServiceSpec()
    made.replicated.replicas = replicas
    made.task.container.image = image
    made.task.restart.delay_ms = 0
    made.task.reservations.memory_bytes = memory
    if of:
        made.task.networks.append(NetworkAttachment(network=f"service:{of}"))
    return made


def everywhere(of: str = "", *constraints: str) -> ServiceSpec:
    made = spec(of=of)
    getattr(made, "global").CopyFrom(Global())
    made.task.placement.constraints.extend(constraints)
    return made


def world(nodes: int = 3, *, replicas: int = 2, followers: int = 2) -> World:
    """A database, and a service that shares its networks; the name of the latter comes first in any order."""
    made = World()
    for number in range(1, nodes + 1):
        made.node(f"h{number}")
    made.service("db", spec(replicas))
    made.service("app", spec(followers, of="db"))
    made.settle()
    return made


def pairs(cluster: World) -> dict[int | str, tuple[Task, Task]]:
    """The running tasks of both, by slot."""
    own = {task.id: task for task in cluster.running("db")}
    tasks = cluster.running("app")
    return {task.slot or task.node_id: (own[task.network_task_id], task) for task in tasks}


def reasons(cluster: World, service: str = "app") -> list[str]:
    return [task.reason for task in cluster.desired(service) if not task.node_id]


def test_each_task_is_beside_the_one_of_its_slot() -> None:
    cluster = world()
    found = pairs(cluster)
    assert found.keys() == {1, 2}
    for provider, task in found.values():
        assert (task.node_id, task.slot, len(task.addresses)) == (provider.node_id, provider.slot, 0)
    assert not any(task.network_task_id for task in cluster.running("db"))


def test_it_waits_until_the_other_one_runs_and_says_for_what() -> None:
    cluster = World()
    cluster.node("h1")
    cluster.service("app", spec(of="db"))
    cluster.plan()
    assert reasons(cluster) == ["waiting for service db, whose network it shares; the service does not exist"]
    cluster.service("db", spec())
    cluster.plan()
    cluster.now_ms += 6_000
    cluster.plan()
    assert reasons(cluster) == ["waiting for task db.1 of service db, which is not running yet"]
    (provider,) = cluster.tasks("db")
    cluster.report(provider, TaskState.STARTING)
    cluster.plan()
    assert not cluster.running("app") and reasons(cluster)
    cluster.report(provider, TaskState.RUNNING)
    cluster.plan()
    cluster.obey()
    assert [task.network_task_id for task in cluster.running("app")] == [provider.id]


def test_the_surplus_waits_and_says_so() -> None:
    cluster = world(replicas=1, followers=3)
    assert pairs(cluster).keys() == {1}
    assert reasons(cluster) == [
        f"waiting for task db.{number} of service db, which does not exist: the service has 1 replica"
        for number in (2, 3)
    ]
    cluster.service("db", spec(3))
    cluster.settle()
    assert pairs(cluster).keys() == {1, 2, 3}


def test_slots_are_those_of_the_other_service_though_its_numbers_have_gaps() -> None:
    cluster = world(nodes=2, replicas=3, followers=3)
    cluster.service("db", spec(2))
    cluster.service("app", spec(2, of="db"))
    cluster.settle()
    assert pairs(cluster).keys() == {task.slot for task in cluster.running("db")}
    assert len(cluster.live("app")) == 2


@pytest.mark.parametrize(
    ("replicas", "held", "provided", "chosen"),
    [
        (2, (), (1, 2, 3), {1, 2}),
        (2, (3,), (1, 2, 3), {1, 3}),
        (2, (1, 2), (1, 3), {1, 3}),
        (3, (2,), (5,), {1, 2, 5}),
        (0, (1,), (1,), set()),
    ],
)
def test_numbers_of_slots(replicas: int, held: tuple[int], provided: tuple[int], chosen: set[int]) -> None:
    assert choose_slot_numbers(replicas, held=held, provided=provided) == chosen


@pytest.mark.parametrize("end", [TaskState.FAILED, TaskState.COMPLETE])
def test_it_follows_when_the_others_task_ends(end: TaskState.ValueType) -> None:
    cluster = world(replicas=1, followers=1)
    provider, task = pairs(cluster)[1]
    cluster.report(provider, end)
    cluster.plan()
    stopped = cluster.tables.tasks[task.id]
    assert (stopped.desired_state, stopped.reason) == (
        TaskState.SHUTDOWN,
        f"task {provider.id}, whose network it shared, has stopped",
    )
    cluster.settle()
    now, follower = pairs(cluster)[1]
    assert now.id != provider.id and follower.id != task.id


def test_what_has_ended_for_good_is_not_started_again_with_it() -> None:
    cluster = world(replicas=1, followers=1)
    once = spec(of="db")
    once.task.restart.condition = RestartPolicy.NONE
    cluster.service("app", once)
    cluster.settle()
    cluster.report(pairs(cluster)[1][1], TaskState.COMPLETE)
    cluster.report(cluster.running("db")[0], TaskState.FAILED)
    cluster.settle()
    assert cluster.running("db") and not cluster.desired("app")


def test_a_replaced_task_takes_it_along_whatever_comes_first() -> None:
    for order in (UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST):
        cluster = world()
        before = pairs(cluster)
        changed = spec(2, image="a:2")
        changed.update.order = order
        cluster.service("db", changed)
        cluster.settle()
        after = pairs(cluster)
        assert after.keys() == {1, 2}
        assert all(after[key][0].id != before[key][0].id for key in after)
        assert all(after[key][1].id != before[key][1].id for key in after)


def test_its_own_update_replaces_it_alone_and_stops_it_first() -> None:
    cluster = world()
    before = pairs(cluster)
    changed = spec(2, of="db", image="a:2")
    changed.update.order = UpdateConfig.START_FIRST
    cluster.service("app", changed)
    for _ in range(20):
        cluster.plan()
        assert max(sum(t.slot == slot for t in cluster.live("app")) for slot in (1, 2)) == 1
        cluster.obey()
        cluster.now_ms += 1_000
    after = pairs(cluster)
    assert all(after[key][0].id == before[key][0].id for key in after)
    assert all(after[key][1].id != before[key][1].id for key in after)


def test_a_drain_moves_both_and_never_it_alone() -> None:
    cluster = world(nodes=2, replicas=1, followers=1)
    provider, _ = pairs(cluster)[1]
    cluster.set_availability(provider.node_id, NodeSpec.DRAIN)
    cluster.settle()
    moved, task = pairs(cluster)[1]
    assert moved.node_id == task.node_id != provider.node_id


def test_a_drain_of_what_can_go_nowhere_leaves_both() -> None:
    cluster = world(nodes=1, replicas=1, followers=1)
    before = pairs(cluster)
    cluster.set_availability("h1", NodeSpec.DRAIN)
    cluster.settle()
    assert pairs(cluster) == before


def test_a_lost_node_moves_both() -> None:
    cluster = world(nodes=2, replicas=1, followers=1)
    provider, _ = pairs(cluster)[1]
    cluster.set_state(provider.node_id, NodeStatus.DOWN)
    cluster.settle()
    moved, task = pairs(cluster)[1]
    assert moved.node_id == task.node_id != provider.node_id


def test_no_room_on_the_node_is_told_and_no_other_node_taken() -> None:
    cluster = World()
    for name in ("h1", "h2"):
        cluster.node(name)
    cluster.service("db", spec(memory=GIB // 2))
    cluster.service("app", spec(of="db", memory=GIB))
    cluster.settle()
    (provider,) = cluster.running("db")
    assert reasons(cluster) == [
        f"waiting: task db.1, whose network it shares, is on node {provider.node_id}, which lacks 1 GiB of memory"
    ]


def test_room_is_made_for_it_but_not_by_displacing_the_task_of_its_network() -> None:
    cluster = World()
    cluster.node("h1")
    cluster.service("db", spec(memory=GIB // 2))
    cluster.service("other", spec(memory=GIB // 2))
    cluster.settle()
    urgent = spec(of="db", memory=GIB // 2)
    urgent.priority = 10
    cluster.service("app", urgent)
    cluster.settle()
    assert cluster.running("app") and cluster.running("db") and not cluster.running("other")


def test_a_volume_elsewhere_is_told_with_what_to_do() -> None:
    cluster = World()
    for name in ("h1", "h2"):
        cluster.node(name)
    cluster.service("db", spec())
    keeps = spec(of="db")
    use = VolumeOptions(name="data")
    keeps.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", target="/data", volume=use))
    cluster.service("app", keeps)
    cluster.settle()
    provider, _ = pairs(cluster)[1]
    cluster.set_availability(provider.node_id, NodeSpec.DRAIN)
    cluster.settle()
    (moved,) = cluster.running("db")
    (reason,) = reasons(cluster)
    assert reason == (
        f"waiting: volume data is on node {provider.node_id}, but task db.1, whose network it shares, is on node "
        f"{moved.node_id}; move the volume with `shoal volume move data --to {moved.node_id}`"
    )


def test_a_removed_service_takes_its_networks_along() -> None:
    cluster = world()
    cluster.remove_service("db")
    cluster.settle()
    assert not cluster.running("app")
    assert set(reasons(cluster)) == {"waiting for service db, whose network it shares; the service does not exist"}
    cluster.service("db", spec(2))
    cluster.settle()
    assert pairs(cluster).keys() == {1, 2}


def test_global_services_share_node_by_node_where_both_may_be() -> None:
    cluster = World()
    for number in range(1, 4):
        cluster.node(f"h{number}", labels={"disk": "ssd" if number < 3 else "hdd"})
    cluster.service("db", everywhere("", "node.labels.disk == ssd"))
    cluster.service("app", everywhere("db", "node.hostname != h1"))
    cluster.settle()
    assert pairs(cluster).keys() == {"h2"}
    assert not cluster.tables.service_status["app"].problems
    cluster.relabel("h3", disk="ssd")
    cluster.settle()
    assert pairs(cluster).keys() == {"h2", "h3"}
    cluster.relabel("h2", disk="hdd")
    cluster.settle()
    assert pairs(cluster).keys() == {"h3"}


def test_a_service_that_comes_to_share_a_network_leaves_its_own() -> None:
    cluster = world(replicas=1, followers=1)
    cluster.service("app", spec())
    cluster.settle()
    assert [task.network_task_id for task in cluster.running("app")] == [""]
    cluster.service("app", spec(of="db"))
    cluster.settle()
    assert pairs(cluster).keys() == {1}
