"""Containers of one's own: started and restarted as Docker does it, removed without a rest."""

import pytest

from manager.containers import container_records
from manager.containers.container_runs import NOT_STARTED
from manager.store import kinds
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort
from shoal.api.v1.standalone_pb2 import (
    Container,
    ContainerRestart,
    ContainerStop,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.networks.published_ports import MESH_NETWORK
from tests.fakes.container_world import ContainerWorld, definition
from tests.unit.planner.orchestrator.container_rig import ALWAYS, started, three_nodes


@pytest.fixture
def world() -> ContainerWorld:
    return three_nodes()


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


def test_one_that_is_started_with_its_creation_is_placed_to_run(world: ContainerWorld) -> None:
    made = definition(ports=[PublishedPort(target=80, published=8080)])
    made.task.networks.append(NetworkAttachment(network="front"))
    db = world.create("db", made, starts=True)
    world.plan()
    task = world.newest(db)
    assert task is not None
    assert (task.desired_state, task.job_run, task.attempt) == (TaskState.RUNNING, 1, 0)
    assert {each.network_id for each in task.addresses} == {"front", MESH_NETWORK}
    assert world.status(db).node_id == task.node_id
    assert [each.published for each in world.status(db).mesh_ports] == [8080]
    world.settle()
    assert world.runs(db)
    assert len(world.tables.tasks_of(db)) == 1


def test_one_that_cannot_start_is_not_placed_either_until_its_start_is_withdrawn(world: ContainerWorld) -> None:
    ports = [PublishedPort(target=80, published=8080)]
    started(world, "first", ports=ports)
    second = world.create("second", definition(ports=ports), starts=True)
    world.plan()
    assert world.newest(second) is None
    assert world.status(second).refused_run == 1
    world.change(second, lambda each: container_records.start_withdrawn(each, NOT_STARTED, world.now_ms))
    world.settle()
    task = world.newest(second)
    assert task is not None
    assert task.desired_state == TaskState.READY
    assert not world.status(second).problems
    assert not world.status(second).refused_run


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
