"""Containers of one's own: placed once, started and restarted as Docker does it, removed without a rest."""

import pytest

from manager.store import kinds
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort, ServiceSpec
from shoal.api.v1.standalone_pb2 import (
    Container,
    ContainerDefinition,
    ContainerRestart,
    ContainerStop,
    NodeImages,
    Reschedule,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.networks.published_ports import MESH_NETWORK
from tests.fakes.container_world import ContainerWorld, definition

ALWAYS = ContainerRestart(condition=ContainerRestart.ALWAYS)


@pytest.fixture
def world() -> ContainerWorld:
    world = ContainerWorld()
    for name in ("h1", "h2", "h3"):
        world.node(name)
    world.network(MESH_NETWORK)
    world.network("front")
    world.settle()
    return world


def started(world: ContainerWorld, name: str = "db", **fields: object) -> str:
    identifier = world.create(name, definition(**fields))
    world.settle()
    world.start(identifier)
    world.settle()
    return identifier


def test_a_created_container_holds_a_node_and_nothing_else(world: ContainerWorld) -> None:
    made = definition(ports=[PublishedPort(target=80, published=8080)])
    made.task.networks.append(NetworkAttachment(network="front"))
    db = world.create("db", made)
    world.settle()
    task = world.newest(db)
    assert task is not None
    assert (task.desired_state, task.job_run, task.container_id) == (TaskState.READY, 0, db)
    assert not task.addresses
    assert not task.ports
    assert not world.status(db).mesh_ports
    assert world.status(db).node_id == task.node_id

    world.start(db)
    world.settle()
    running = world.newest(db)
    assert running is not None
    assert (running.id, running.desired_state, running.job_run) == (task.id, TaskState.RUNNING, 1)
    assert {address.network_id for address in running.addresses} == {"front", MESH_NETWORK}
    assert [port.published for port in world.status(db).mesh_ports] == [8080]


def test_a_later_start_is_a_new_task_on_the_same_node(world: ContainerWorld) -> None:
    db = started(world)
    first = world.newest(db)
    world.stop(db, ContainerStop(signal="SIGINT"))
    world.plan()
    stopping = world.newest(db)
    assert stopping is not None
    assert (stopping.desired_state, stopping.stop.signal) == (TaskState.SHUTDOWN, "SIGINT")
    world.settle()
    assert not world.live_tasks(db)
    assert world.status(db).finished_run == 1
    world.start(db)
    world.settle()
    second = world.newest(db)
    assert first is not None
    assert second is not None
    assert second.id != first.id
    assert (second.node_id, second.job_run) == (first.node_id, 2)
    assert len(world.tables.tasks_of(db)) == 1


def test_a_restart_waits_for_the_end(world: ContainerWorld) -> None:
    db = started(world)
    world.restart(db)
    world.plan()
    world.plan()
    assert len(world.tables.tasks_of(db)) == 1
    world.settle()
    assert [task.job_run for task in world.runs(db)] == [2]


def test_a_stop_that_is_repeated_with_another_signal_reaches_the_node(world: ContainerWorld) -> None:
    db = started(world)
    world.stop(db, ContainerStop(grace_ms=600_000))
    world.plan()
    world.stop(db, ContainerStop(grace_ms=0))
    world.plan()
    task = world.newest(db)
    assert task is not None
    assert task.stop.grace_ms == 0


def test_restarts_come_after_100_ms_twice_as_late_each_time_and_anew_after_ten_seconds(world: ContainerWorld) -> None:
    db = started(world, restart=ALWAYS)
    waits = []
    for _ in range(12):
        ended = world.now_ms
        world.end(db, TaskState.FAILED)
        world.settle()
        waits.append(world.now_ms - ended)
    assert waits == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]
    world.now_ms += 10_000
    ended = world.now_ms
    world.end(db, TaskState.COMPLETE)
    world.settle()
    assert world.now_ms - ended == 100
    task = world.newest(db)
    assert task is not None
    assert task.attempt == 13


@pytest.mark.parametrize(
    ("condition", "state", "runs"),
    [
        (ContainerRestart.NO, TaskState.FAILED, False),
        (ContainerRestart.CONDITION_UNSPECIFIED, TaskState.FAILED, False),
        (ContainerRestart.ON_FAILURE, TaskState.COMPLETE, False),
        (ContainerRestart.ON_FAILURE, TaskState.FAILED, True),
        (ContainerRestart.ALWAYS, TaskState.COMPLETE, True),
        (ContainerRestart.UNLESS_STOPPED, TaskState.COMPLETE, True),
        (ContainerRestart.ALWAYS, TaskState.REJECTED, False),
    ],
)
def test_what_follows_an_end(
    world: ContainerWorld, condition: ContainerRestart.Condition.ValueType, state: TaskState.ValueType, runs: bool
) -> None:
    db = started(world, restart=ContainerRestart(condition=condition))
    world.end(db, state)
    world.settle()
    assert bool(world.runs(db)) is runs
    assert (world.status(db).finished_run == 1) is not runs


def test_on_failure_gives_up_after_its_attempts(world: ContainerWorld) -> None:
    policy = ContainerRestart(condition=ContainerRestart.ON_FAILURE, max_attempts=2)
    db = started(world, restart=policy)
    for _ in range(2):
        world.end(db, TaskState.FAILED)
        world.settle()
        assert world.runs(db)
    world.end(db, TaskState.FAILED)
    world.settle()
    assert not world.runs(db)
    world.start(db)
    world.settle()
    task = world.newest(db)
    assert task is not None
    assert (task.attempt, task.job_run) == (0, 2)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_its_user_ended_is_left(world: ContainerWorld, how: str) -> None:
    db = started(world, restart=ALWAYS)
    getattr(world, how)(db)
    world.settle()
    assert not world.live_tasks(db)


def test_another_policy_starts_nothing_that_has_ended(world: ContainerWorld) -> None:
    db = started(world)
    world.end(db)
    world.settle()
    record = Container()
    record.CopyFrom(world.container(db))
    record.definition.restart.CopyFrom(ALWAYS)
    world.put(kinds.CONTAINER, db, record)
    world.settle()
    assert not world.live_tasks(db)


def test_the_node_that_holds_the_image_goes_first(world: ContainerWorld) -> None:
    made = definition()
    made.task.container.image = "a:1@sha256:abc"
    world.put(kinds.NODE_IMAGES, "h3", NodeImages(node_id="h3", digests=["sha256:abc"]))
    db = world.create("db", made)
    world.settle()
    assert world.status(db).node_id == "h3"


def test_why_no_node_fits(world: ContainerWorld) -> None:
    made = definition()
    made.task.reservations.memory_bytes = 2 << 30
    world.set_availability("h1", NodeSpec.DRAIN)
    db = world.create("db", made)
    world.settle()
    assert list(world.status(db).problems) == ["no suitable node: 1 of 3 drained, 2 of 3 lack 2 GiB of memory"]
    assert not world.tables.tasks_of(db)


def test_it_is_beside_the_container_that_it_needs(world: ContainerWorld) -> None:
    db = world.create("db", definition(node_id="h2"))
    world.settle()
    app = world.create("app", definition(beside=[db]))
    elsewhere = world.create("other", definition(beside=[db], node_id="h1"))
    world.settle()
    assert world.status(app).node_id == "h2"
    assert list(world.status(elsewhere).problems) == [
        "no suitable node: it has to be on node h1; container db is on node h2"
    ]
    world.set_availability("h2", NodeSpec.DRAIN)
    late = world.create("late", definition(beside=[db]))
    world.settle()
    assert list(world.status(late).problems) == ["no suitable node: node h2, where container db is, is drained"]


def test_it_goes_where_its_volume_is(world: ContainerWorld) -> None:
    made = definition(node_id="h2")
    made.task.container.mounts.add(type=Mount.VOLUME, source="v", target="/data").volume.name = "data"
    world.create("db", made)
    world.settle()
    later = definition()
    later.task.container.mounts.extend(made.task.container.mounts)
    other = world.create("other", later)
    world.settle()
    assert world.status(other).node_id == "h2"


def test_a_port_that_is_taken_refuses_the_start_and_not_the_creation(world: ContainerWorld) -> None:
    ports = [PublishedPort(target=80, published=8080)]
    started(world, "one", ports=ports)
    two = started(world, "two", ports=ports)
    assert world.status(two).refused_run == 1
    assert list(world.status(two).problems) == ["port 8080/tcp is already published by container one"]
    assert not world.status(two).mesh_ports
    task = world.newest(two)
    assert task is not None
    assert task.desired_state == TaskState.READY


def test_a_start_that_nobody_waits_for_is_given_up(world: ContainerWorld) -> None:
    ports = [PublishedPort(target=80, published=8080)]
    one = started(world, "one", ports=ports)
    two = world.create("two", definition(ports=ports))
    world.start(two, start_by_ms=world.now_ms + 1_000)
    world.settle()
    world.stop(one)
    world.settle()
    assert not world.runs(two)
    assert world.status(two).finished_run == 1
    world.start(two)
    world.settle()
    assert world.runs(two)


def test_it_stays_on_a_node_that_is_lost(world: ContainerWorld) -> None:
    db = started(world, restart=ALWAYS)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.now_ms += 48 * 3_600_000
    world.settle()
    task = world.newest(db)
    assert task is not None
    assert (task.node_id, task.desired_state) == (node, TaskState.RUNNING)
    world.stop(db)
    world.settle()
    world.start(db)
    world.settle()
    world.set_state(node, NodeStatus.READY)
    world.settle()
    assert [(task.node_id, task.job_run) for task in world.runs(db)] == [(node, 2)]


def test_one_that_may_be_elsewhere_starts_there_and_its_old_run_is_stopped(world: ContainerWorld) -> None:
    db = started(world, reschedule=Reschedule.ON_NODE_FAILURE)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.settle()
    other = world.status(db).node_id
    assert other != node
    assert {task.node_id for task in world.live_tasks(db)} == {node, other}
    world.set_state(node, NodeStatus.READY)
    world.settle()
    assert [task.node_id for task in world.live_tasks(db)] == [other]
    assert world.status(db).node_id == other


def test_what_had_ended_is_not_started_elsewhere(world: ContainerWorld) -> None:
    db = started(world, reschedule=Reschedule.ON_NODE_FAILURE)
    world.end(db)
    world.settle()
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.settle()
    world.remove_node(node)
    world.settle()
    assert not world.live_tasks(db)


def test_its_files_are_gone_with_its_node(world: ContainerWorld) -> None:
    db = started(world)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.remove_node(node)
    world.settle()
    assert list(world.status(db).problems) == [f"node {node} was removed, and the container's files with it"]
    world.start(db)
    world.settle()
    assert not world.live_tasks(db)
    world.remove(db)
    world.settle()
    world.collect()
    world.settle()
    assert not world.tables.containers
    assert not world.tables.revisions


def test_a_drain_moves_nothing(world: ContainerWorld) -> None:
    db = started(world)
    node = world.status(db).node_id
    world.set_availability(node, NodeSpec.DRAIN)
    world.settle()
    world.restart(db)
    world.settle()
    assert [task.node_id for task in world.runs(db)] == [node]


def test_removal_leaves_nothing(world: ContainerWorld) -> None:
    db = started(world, ports=[PublishedPort(target=80)])
    world.remove(db)
    world.plan()
    world.collect()
    assert db in world.tables.containers
    world.settle()
    world.collect()
    world.settle()
    for rows in (world.tables.containers, world.tables.tasks, world.tables.revisions, world.tables.service_status):
        assert not rows
    assert not world.tables.task_status
    assert "container/db" not in world.tables.names


def test_what_removes_itself_is_collected_after_its_run_only(world: ContainerWorld) -> None:
    db = world.create("db", definition(auto_remove=True))
    world.settle()
    world.collect()
    world.start(db)
    world.settle()
    world.collect()
    assert world.runs(db)
    world.end(db, TaskState.FAILED)
    world.settle()
    world.collect()
    world.settle()
    assert not world.tables.containers
    assert not world.tables.tasks


def test_networks_change_while_it_runs(world: ContainerWorld) -> None:
    db = started(world)
    task = world.newest(db)
    assert task is not None

    def connect(container: Container) -> Container:
        changed = Container()
        changed.CopyFrom(container)
        changed.revision += 1
        changed.definition.task.networks.append(NetworkAttachment(network="front"))
        return changed

    world.change(db, connect)
    world.settle()
    connected = world.newest(db)
    assert connected is not None
    assert (connected.id, connected.revision) == (task.id, 2)
    assert [address.network_id for address in connected.addresses] == ["front"]


def test_a_service_of_a_higher_priority_stops_no_container(world: ContainerWorld) -> None:
    made = definition(node_id="h1")
    made.task.reservations.memory_bytes = 1 << 30
    db = world.create("db", made)
    world.start(db)
    world.settle()
    for name, priority in (("low", -5), ("high", 5)):
        spec = ServiceSpec(priority=priority)
        spec.task.container.image = "a:1"
        spec.task.reservations.memory_bytes = 1 << 30
        spec.task.placement.constraints.append("node.id == h1")
        spec.replicated.replicas = 1
        world.service(name, spec)
    world.settle()
    assert len(world.runs(db)) == 1
    assert not world.running("high")


def test_a_move_of_which_only_the_task_was_written_is_made_once(world: ContainerWorld) -> None:
    db = started(world, reschedule=Reschedule.ON_NODE_FAILURE)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.plan(cut=2)
    assert world.status(db).node_id == node
    moved = world.newest(db)
    assert moved is not None
    assert moved.node_id != node
    world.settle()
    assert world.status(db).node_id == moved.node_id
    assert [task.id for task in world.runs(db) if task.node_id != node] == [moved.id]


def joining(provider: str, kind: str = "network") -> ContainerDefinition:
    made = definition()
    if kind == "network":
        made.task.networks.append(NetworkAttachment(network=f"container:{provider}"))
    elif kind == "pid":
        made.task.container.pid_container = provider
    else:
        made.task.container.ipc_container = provider
    return made


@pytest.mark.parametrize("kind", ["network", "pid", "ipc"])
def test_who_joins_another_one_is_beside_it_and_starts_while_it_runs(world: ContainerWorld, kind: str) -> None:
    db = world.create("db", definition(node_id="h3"))
    world.settle()
    tool = world.create("tool", joining(db, kind))
    world.settle()
    assert world.status(tool).node_id == "h3"
    world.start(tool)
    world.settle()
    (problem,) = world.status(tool).problems
    assert problem.startswith("cannot join ") and problem.endswith(" of a non running container: db")
    world.start(db)
    world.settle()
    provider, joined = world.newest(db), world.newest(tool)
    assert provider is not None and joined is not None
    assert (joined.desired_state, joined.node_id) == (TaskState.RUNNING, "h3"), "started once that runs"
    assert getattr(joined, f"{kind}_task_id") == provider.id
    assert not joined.addresses or kind != "network"


def test_it_stays_when_the_other_one_ends_and_joins_the_next_run_when_it_is_started_again(
    world: ContainerWorld,
) -> None:
    db = started(world, "db", restart=ALWAYS)
    first = world.newest(db)
    tool = world.create("tool", joining(db))
    world.start(tool)
    world.settle()
    joined = world.newest(tool)
    assert first is not None and joined is not None and joined.network_task_id == first.id
    world.end(db)
    world.settle()
    world.now_ms += 60_000
    world.settle()
    second, still = world.newest(db), world.newest(tool)
    assert second is not None and second.id != first.id
    assert still is not None and (still.id, still.desired_state) == (joined.id, TaskState.RUNNING)
    world.restart(tool)
    world.settle()
    again = world.newest(tool)
    assert again is not None and again.network_task_id == second.id


def test_a_services_task_can_be_joined(world: ContainerWorld) -> None:
    spec = ServiceSpec()
    spec.task.container.image = "a:1"
    spec.replicated.replicas = 1
    world.service("web", spec)
    world.settle()
    (task,) = world.running("web")
    tool = world.create("tool", joining(task.id))
    world.start(tool)
    world.settle()
    joined = world.newest(tool)
    assert joined is not None
    assert (joined.node_id, joined.network_task_id) == (task.node_id, task.id)


def test_links_bind_to_the_others_node_only_without_networks(world: ContainerWorld) -> None:
    db = world.create("db", definition(node_id="h3"))
    world.settle()
    for name, networks in (("alone", []), ("beside", ["bridge", "front"]), ("far", ["front"])):
        made = definition()
        made.task.networks.extend(NetworkAttachment(network=each) for each in networks)
        made.task.container.links.add(container_id=db, names=["db"])
        if name == "far":
            made.node_id = "h1"
        identifier = world.create(name, made)
        world.settle()
        assert world.status(identifier).node_id == ("h1" if name == "far" else "h3")
