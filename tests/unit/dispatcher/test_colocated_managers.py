"""Which nodes have a manager on their host: by where their session comes from, whatever they say."""

from manager.dispatcher.statuses.node_status_updates import NodeReport, colocated_manager, lost_status, ready_status
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
MANAGERS = {"m1": Manager(id="m1", host_address=HERE), "m2": Manager(id="m2", host_address="192.0.2.9")}


def status(peer: str, managers: dict[str, Manager], old: NodeStatus | None = None) -> NodeStatus:
    return ready_status(old, "n1", NodeReport(NodeDescription(address=HERE), peer), managers, "m2", 7)


def test_a_session_from_a_managers_host_is_of_a_node_beside_it() -> None:
    assert status(HERE, MANAGERS).colocated_manager_id == "m1"


def test_what_the_agent_says_of_its_address_is_not_asked() -> None:
    assert status(ELSEWHERE, MANAGERS).colocated_manager_id == ""
    assert status("", {"m3": Manager(id="m3")}).colocated_manager_id == ""


def test_a_manager_that_is_away_stays_and_one_that_moved_does_not() -> None:
    before = status(HERE, MANAGERS)
    assert status(HERE, {"m2": MANAGERS["m2"]}, before).colocated_manager_id == "m1"
    assert lost_status(before, NodeStatus.DOWN, "lost", 9).colocated_manager_id == "m1"
    moved = {"m1": Manager(id="m1", host_address=ELSEWHERE)}
    assert status(HERE, moved, before).colocated_manager_id == ""


def test_of_two_on_one_host_it_is_always_the_same() -> None:
    both = {name: Manager(id=name, host_address=HERE) for name in ("m4", "m3")}
    assert colocated_manager(None, HERE, both) == "m3"
