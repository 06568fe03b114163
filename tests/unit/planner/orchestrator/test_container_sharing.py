"""Containers that join the network or the processes of another one, or have links to it."""

import pytest

from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.api.v1.standalone_pb2 import (
    ContainerDefinition,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.container_world import ContainerWorld, definition
from tests.unit.planner.orchestrator.container_rig import ALWAYS, started, three_nodes


@pytest.fixture
def world() -> ContainerWorld:
    return three_nodes()


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
