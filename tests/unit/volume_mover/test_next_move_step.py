"""What is done next about a move, and about copies that are left behind."""

from collections.abc import Iterable

import pytest

from manager.controllers.volume_mover.move_records import completed, failed, with_move_status, without_stale_copy
from manager.controllers.volume_mover.next_move_step import (
    Fail,
    StaleCopyStep,
    StartCopy,
    Wait,
    has_work,
    next_step,
    stale_copy_step,
)
from manager.store import kinds
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import (
    LocalVolume,
    NodeVolumes,
    StaleVolumeCopy,
    Volume,
    VolumeHome,
    VolumeMove,
    VolumeMoveStatus,
)
from tests.fakes.planner_world import World

MOVE = VolumeMove(from_node_id="h1", to_node_id="h2", started_at_ms=50)


def cluster(*, holders: Iterable[str] = ("h1",), home: str = "h1") -> World:
    made = World()
    for name in ("h1", "h2", "h3"):
        made.node(name)
    for name in holders:
        made.put(
            kinds.NODE_VOLUMES, name, NodeVolumes(node_id=name, volumes=[LocalVolume(volume_id="v1", name="data")])
        )
    if home:
        made.put(kinds.VOLUME_HOME, "v1/0", VolumeHome(volume_id="v1", node_id=home, since_ms=10))
    return made


def volume(*leftovers: StaleVolumeCopy, moves: Iterable[VolumeMove] = (MOVE,)) -> Volume:
    made = Volume(moves=moves, stale_copies=leftovers)
    made.meta.id, made.spec.name = "v1", "data"
    return made


def down(world: World, name: str) -> None:
    status = NodeStatus()
    status.CopyFrom(world.tables.node_status[name])
    status.state = NodeStatus.DOWN
    world.put(kinds.NODE_STATUS, name, status)


def test_it_copies_when_all_is_still_and_both_nodes_answer() -> None:
    world = cluster()
    assert next_step(world.tables, volume(), MOVE) == StartCopy()
    down(world, "h2")
    step = next_step(world.tables, volume(), MOVE)
    assert isinstance(step, Wait) and "which is down" in step.why
    world.put(kinds.NODE, "h1", None)
    assert isinstance(next_step(world.tables, volume(), MOVE), Fail)


def test_a_volume_that_goes_is_not_moved() -> None:
    going = volume()
    going.removing = True
    assert isinstance(next_step(cluster().tables, going, MOVE), Fail)


OLD = StaleVolumeCopy(node_id="h1", created_at_ms=7, home_node_id="h2")


@pytest.mark.parametrize(
    ("holders", "home", "step"),
    [
        (("h1", "h2"), "h2", StaleCopyStep.DELETE),
        (("h1",), "h2", StaleCopyStep.WAIT),  # the home has not told of its copy: this may be the last one
        (("h1", "h3"), "h2", StaleCopyStep.WAIT),  # what a third node has is no home's
        (("h1", "h2"), "h1", StaleCopyStep.FORGET),  # it became the home again
        (("h1", "h3"), "h3", StaleCopyStep.FORGET),  # the home was given up since: this may be the last good copy
        (("h1", "h3"), "", StaleCopyStep.WAIT),
        (("h1", "h2"), "", StaleCopyStep.DELETE),
    ],
)
def test_a_copy_is_deleted_only_where_another_one_is_known(
    holders: tuple[str, ...], home: str, step: StaleCopyStep
) -> None:
    assert stale_copy_step(cluster(holders=holders, home=home).tables, volume(OLD), OLD) is step


def test_a_copy_on_a_node_that_is_down_waits_and_on_one_that_is_gone_is_forgotten() -> None:
    world = cluster(holders=("h1", "h2"), home="h2")
    down(world, "h1")
    assert stale_copy_step(world.tables, volume(OLD), OLD) is StaleCopyStep.WAIT
    world.put(kinds.NODE, "h1", None)
    assert stale_copy_step(world.tables, volume(OLD), OLD) is StaleCopyStep.FORGET


def test_the_home_changes_together_with_what_is_left_behind() -> None:
    made = completed(cluster().tables, volume(), MOVE, old_copy_ms=7, now_ms=3)
    assert not made.moves and list(made.stale_copies) == [OLD]
    assert made.homes[0].node_id == "h2" and made.homes[0].since_ms == 11, "newer than what is written, by any clock"
    assert not without_stale_copy(made, OLD).stale_copies
    ended = failed(volume(), MOVE)
    assert not ended.moves and not ended.homes
    assert list(ended.stale_copies) == [StaleVolumeCopy(node_id="h2", created_at_ms=50, home_node_id="h1")]


def test_it_is_tended_until_all_is_told() -> None:
    status = with_move_status("v1", None, VolumeMoveStatus(state=VolumeMoveStatus.COPYING))
    assert has_work(volume(moves=()), status)
    status = with_move_status("v1", status, VolumeMoveStatus(state=VolumeMoveStatus.DONE))
    assert len(status.moves) == 1 and not has_work(volume(moves=()), status)
    assert has_work(volume(OLD, moves=()), status)


def test_tasks_that_have_the_volume_keep_it_where_it_is_and_keep_a_copy_from_being_deleted() -> None:
    world = cluster(holders=("h1", "h2"), home="h2")
    spec = ServiceSpec()
    spec.replicated.replicas = 3
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", volume=VolumeOptions(name="data")))
    world.put(kinds.VOLUME, "v1", volume(moves=()))
    world.service("web", spec)
    world.settle()
    assert {task.node_id for task in world.running("web")} == {"h1", "h2", "h3"}
    assert stale_copy_step(world.tables, volume(OLD), OLD) is StaleCopyStep.FORGET
    step = next_step(world.tables, volume(), MOVE)
    assert isinstance(step, Wait) and "to stop" in step.why
