"""Heartbeats: three missed are too many."""

from manager.dispatcher.liveness import Liveness
from manager.dispatcher.monitor import abandoned
from manager.store.kinds import MANAGER, NODE_STATUS
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import NodeStatus
from tests.unit.dispatcher.dispatcher_world import World


def test_overdue_after_three_missed_heartbeats() -> None:
    liveness = Liveness(2.0)
    liveness.heard("n1", 100.0)
    liveness.heard("n2", 103.0)
    assert liveness.overdue(106.0) == []
    assert liveness.overdue(106.1) == ["n1"]
    liveness.heard("n1", 107.0)
    assert liveness.overdue(109.5) == ["n2"]
    liveness.forget("n2")
    assert liveness.overdue(109.5) == []


def test_a_node_is_fresh_while_it_is_watched_and_not_overdue() -> None:
    liveness = Liveness(2.0)
    assert not liveness.is_fresh("n1", 0.0)
    liveness.heard("n1", 100.0)
    assert liveness.is_fresh("n1", 106.0) and not liveness.is_fresh("n1", 106.1)
    liveness.forget("n1")
    assert not liveness.is_fresh("n1", 101.0)


def test_a_node_is_abandoned_when_its_manager_is_not_there() -> None:
    world = World()
    world.put(MANAGER, "m1", Manager(id="m1"))
    for node_id, manager_id in (("n1", "m1"), ("n2", "m2")):
        status = NodeStatus(node_id=node_id, state=NodeStatus.READY, manager_id=manager_id)
        world.put(NODE_STATUS, node_id, status)
    world.put(NODE_STATUS, "n3", NodeStatus(node_id="n3", state=NodeStatus.DOWN, manager_id="m2"))
    assert abandoned(world.tables) == {"n2": "m2"}
