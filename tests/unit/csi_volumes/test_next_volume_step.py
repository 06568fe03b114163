"""What follows for a volume of a driver, case by case."""

from collections.abc import Iterable

from manager.controllers.csi_volumes.next_volume_step import DriverCall, DriverMethod, WriteStatus, next_steps
from manager.controllers.csi_volumes.volume_facts import DriverFacts, NodeFacts, VolumeFacts
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    AccessMode,
    NodePublication,
    Volume,
    VolumePublication,
    VolumeSpec,
    VolumeStatus,
)

WHOLE = DriverFacts(known=True, creates=True, attaches=True, controllers=("n1",), topologies=())
SIMPLE = DriverFacts(known=True, creates=False, attaches=False, controllers=(), topologies=())
W, A, R, L = (
    VolumePublication.WAITING,
    VolumePublication.ATTACHING,
    VolumePublication.READY,
    VolumePublication.RELEASING,
)


def published(node: str, number: int, state: VolumePublication.State.ValueType, **more: object) -> VolumePublication:
    return VolumePublication(node_id=node, number=number, state=state, **more)  # type: ignore[arg-type]


def made(*publications: VolumePublication) -> VolumeStatus:
    last = max((each.number for each in publications), default=0)
    return VolumeStatus(volume_id="v", driver_volume_id="real", publications=publications, last_publication_number=last)


def facts(
    status: VolumeStatus | None,
    desired: Iterable[str] = (),
    *,
    driver: DriverFacts = WHOLE,
    mode: AccessMode.ValueType = 0,  # type: ignore[assignment]
    removing: bool = False,
    forced: bool = False,
    down: Iterable[str] = (),
    held: dict[str, NodePublication] | None = None,
    gone: Iterable[str] = (),
) -> VolumeFacts:
    spec = VolumeSpec(name="data", driver="d", access_mode=mode, options={"tier": "gold"})
    places = {
        node: NodeFacts(f"host-{node}", node in down, f"d-{node}", (held or {}).get(node, NodePublication()))
        for node in ("n1", "n2")
        if node not in gone
    }
    volume = Volume(meta=Meta(id="v"), spec=spec, removing=removing, forced=forced)
    return VolumeFacts(volume, status, driver, frozenset(desired), places)


def only(reported: VolumeFacts) -> WriteStatus | DriverCall:
    (step,) = next_steps(reported)
    return step


def test_that_it_may_be_made_is_written_before_it_is() -> None:
    step = only(facts(None))
    assert isinstance(step, DriverCall) and step.method is DriverMethod.CREATE and step.status.outcome_unknown


def test_one_that_may_have_been_made_is_made_sure_of_before_it_is_deleted() -> None:
    unknown = VolumeStatus(volume_id="v", outcome_unknown=True)
    step = only(facts(unknown, removing=True))
    assert isinstance(step, DriverCall) and step.method is DriverMethod.CREATE
    refused = VolumeStatus(volume_id="v", problem="no such tier")
    assert only(facts(refused, removing=True)).status.deleted
    assert only(facts(None, removing=True)).status.deleted, "nothing was begun"
    step = only(facts(made(), removing=True))
    assert isinstance(step, DriverCall) and step.method is DriverMethod.DELETE
    assert next_steps(facts(VolumeStatus(volume_id="v", deleted=True), removing=True)) == []


def test_volumes_of_a_driver_that_makes_none_are_there_already() -> None:
    status = only(facts(None, driver=SIMPLE)).status
    assert (status.driver_volume_id, dict(status.context)) == ("data", {"tier": "gold"})
    assert only(facts(status, removing=True, driver=SIMPLE)).status.deleted


def test_the_second_node_waits_for_the_first() -> None:
    status = only(facts(made(), ["n1"])).status
    assert [(each.node_id, each.state, each.number) for each in status.publications] == [("n1", A, 1)]
    assert status.publications[0].attached, "written before it is"
    ready = made(published("n1", 1, R, attached=True))
    status = only(facts(ready, ["n1", "n2"])).status
    assert [each.state for each in status.publications] == [R, W]
    assert status.publications[1].problem == "in use on node host-n1"
    both = only(facts(made(published("n1", 1, R, attached=True)), ["n1", "n2"], mode=MULTI_NODE_MULTI_WRITER)).status
    assert [each.state for each in both.publications] == [R, A]


def test_only_the_nodes_own_word_under_this_number_frees_it() -> None:
    leaving = made(published("n1", 4, L, attached=True), published("n2", 5, W, problem="in use on node host-n1"))
    earlier = NodePublication(volume_id="v", number=3, released=True)
    assert next_steps(facts(leaving, ["n2"], held={"n1": earlier})) == [], "its word was on an earlier one"
    now = NodePublication(volume_id="v", number=4, released=True)
    step = only(facts(leaving, ["n2"], held={"n1": now}))
    assert isinstance(step, DriverCall) and (step.method, step.node_id) == (DriverMethod.DETACH, "n1")
    reported = only(facts(leaving, ["n2"], gone=["n1"])).status
    assert reported.publications[1].problem == "being detached from a removed node"
    step = only(facts(reported, ["n2"], gone=["n1"]))
    assert isinstance(step, DriverCall) and (step.method, step.node_id) == (DriverMethod.DETACH, "n1"), (
        "the node was given up"
    )


def test_a_node_that_is_down_keeps_it_and_the_way_out_is_told() -> None:
    ready = made(published("n1", 1, R, attached=True))
    status = only(facts(ready, ["n2"], down=["n1"])).status
    assert [each.state for each in status.publications] == [L, W]
    for each in status.publications:
        assert each.problem.startswith("node host-n1 is down") and "`shoal node rm --force host-n1`" in each.problem
    assert next_steps(facts(status, ["n2"], down=["n1"])) == []


def test_what_a_node_says_against_letting_go_is_told() -> None:
    leaving = made(published("n1", 1, L, attached=True), published("n2", 2, W))
    busy = NodePublication(volume_id="v", number=1, problem="driver d: NodeUnstageVolume: busy (INTERNAL)")
    status = only(facts(leaving, ["n2"], held={"n1": busy})).status
    assert status.publications[0].problem == busy.problem
    assert status.publications[1].problem == f"node host-n1 has not released it: {busy.problem}"


def test_one_failing_node_of_many_holds_up_no_other() -> None:
    status = made(published("n1", 1, A, attached=True), published("n2", 2, A, attached=True))
    steps = next_steps(facts(status, ["n1", "n2"], mode=MULTI_NODE_MULTI_WRITER))
    assert [(step.method, step.node_id) for step in steps if isinstance(step, DriverCall)] == [
        (DriverMethod.ATTACH, "n1"),
        (DriverMethod.ATTACH, "n2"),
    ]


def test_by_force_it_is_forgotten_once_no_task_has_it() -> None:
    status = made(published("n1", 1, R, attached=True))
    assert next_steps(facts(status, ["n1"], removing=True, forced=True)) == []
    step = only(facts(status, removing=True, forced=True))
    assert step.status.deleted and not step.status.publications


def test_a_node_without_the_driver_says_so() -> None:
    reported = facts(made(), ["n1"])
    bare = NodeFacts("host-n1", False, "", NodePublication())
    status = only(VolumeFacts(reported.volume, reported.status, WHOLE, reported.needed_on, {"n1": bare})).status
    assert status.publications[0].problem == "the node does not have driver d"
