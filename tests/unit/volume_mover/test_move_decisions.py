"""What is done next about a move, and about copies that are left behind."""

from collections.abc import Iterable

import pytest

from manager.store import kinds
from manager.volume_mover.decide import Abandon, Copy, LeftoverStep, Wait, leftover_step, needs_mover, next_step
from manager.volume_mover.records import abandoned, moved, told, without_leftover
from shoal.api.v1.container_pb2 import Mount, VolumeUse
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import (
    HeldVolume,
    NodeVolumes,
    Volume,
    VolumeLeftover,
    VolumeMove,
    VolumeMoveStatus,
    VolumeSlot,
)
from tests.fakes.planner_world import World

MOVE = VolumeMove(from_node_id="h1", to_node_id="h2", began_at_ms=50)


def cluster(*, holders: Iterable[str] = ("h1",), home: str = "h1") -> World:
    made = World()
    for name in ("h1", "h2", "h3"):
        made.node(name)
    for name in holders:
        made.put(kinds.NODE_VOLUMES, name, NodeVolumes(node_id=name, volumes=[HeldVolume(volume_id="v1", name="data")]))
    if home:
        made.put(kinds.VOLUME_SLOT, "v1/0", VolumeSlot(volume_id="v1", node_id=home, since_ms=10))
    return made


def volume(*leftovers: VolumeLeftover, moves: Iterable[VolumeMove] = (MOVE,)) -> Volume:
    made = Volume(moves=moves, leftovers=leftovers)
    made.meta.id, made.spec.name = "v1", "data"
    return made


def down(world: World, name: str) -> None:
    status = NodeStatus()
    status.CopyFrom(world.tables.node_status[name])
    status.state = NodeStatus.DOWN
    world.put(kinds.NODE_STATUS, name, status)


def test_it_copies_when_all_is_still_and_both_nodes_answer() -> None:
    world = cluster()
    assert next_step(world.tables, volume(), MOVE) == Copy()
    down(world, "h2")
    step = next_step(world.tables, volume(), MOVE)
    assert isinstance(step, Wait) and "which is down" in step.why
    world.put(kinds.NODE, "h1", None)
    assert isinstance(next_step(world.tables, volume(), MOVE), Abandon)


def test_a_volume_that_goes_is_not_moved() -> None:
    going = volume()
    going.removing = True
    assert isinstance(next_step(cluster().tables, going, MOVE), Abandon)


OLD = VolumeLeftover(node_id="h1", created_at_ms=7, home_node_id="h2")


@pytest.mark.parametrize(
    ("holders", "home", "step"),
    [
        (("h1", "h2"), "h2", LeftoverStep.DELETE),
        (("h1",), "h2", LeftoverStep.WAIT),  # the home has not told of its copy: this may be the last one
        (("h1", "h3"), "h2", LeftoverStep.WAIT),  # what a third node has is no home's
        (("h1", "h2"), "h1", LeftoverStep.FORGET),  # it became the home again
        (("h1", "h3"), "h3", LeftoverStep.FORGET),  # the home was given up since: this may be the last good copy
        (("h1", "h3"), "", LeftoverStep.WAIT),
        (("h1", "h2"), "", LeftoverStep.DELETE),
    ],
)
def test_a_copy_is_deleted_only_where_another_one_is_known(
    holders: tuple[str, ...], home: str, step: LeftoverStep
) -> None:
    assert leftover_step(cluster(holders=holders, home=home).tables, volume(OLD), OLD) is step


def test_a_copy_on_a_node_that_is_down_waits_and_on_one_that_is_gone_is_forgotten() -> None:
    world = cluster(holders=("h1", "h2"), home="h2")
    down(world, "h1")
    assert leftover_step(world.tables, volume(OLD), OLD) is LeftoverStep.WAIT
    world.put(kinds.NODE, "h1", None)
    assert leftover_step(world.tables, volume(OLD), OLD) is LeftoverStep.FORGET


def test_the_home_changes_together_with_what_is_left_behind() -> None:
    made = moved(cluster().tables, volume(), MOVE, old_copy_ms=7, now_ms=3)
    assert not made.moves and list(made.leftovers) == [OLD]
    assert made.homes[0].node_id == "h2" and made.homes[0].since_ms == 11, "newer than what is written, by any clock"
    assert not without_leftover(made, OLD).leftovers
    ended = abandoned(volume(), MOVE)
    assert not ended.moves and not ended.homes
    assert list(ended.leftovers) == [VolumeLeftover(node_id="h2", created_at_ms=50, home_node_id="h1")]


def test_it_is_tended_until_all_is_told() -> None:
    status = told("v1", None, VolumeMoveStatus(state=VolumeMoveStatus.COPYING))
    assert needs_mover(volume(moves=()), status)
    status = told("v1", status, VolumeMoveStatus(state=VolumeMoveStatus.DONE))
    assert len(status.moves) == 1 and not needs_mover(volume(moves=()), status)
    assert needs_mover(volume(OLD, moves=()), status)


def test_tasks_that_have_the_volume_keep_it_where_it_is_and_keep_a_copy_from_being_deleted() -> None:
    world = cluster(holders=("h1", "h2"), home="h2")
    spec = ServiceSpec()
    spec.replicated.replicas = 3
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", volume=VolumeUse(name="data")))
    world.put(kinds.VOLUME, "v1", volume(moves=()))
    world.service("web", spec)
    world.settle()
    assert {task.node_id for task in world.running("web")} == {"h1", "h2", "h3"}
    assert leftover_step(world.tables, volume(OLD), OLD) is LeftoverStep.FORGET
    step = next_step(world.tables, volume(), MOVE)
    assert isinstance(step, Wait) and "have ended" in step.why
