"""What is written about a problem is recognized as such, and nothing else is."""

from manager.planner.spec.problem_texts import (
    NO_SUITABLE_NODE,
    WAITING_FOR,
    drain_obstacle,
    is_stay,
    is_wait,
    is_wait_for_volume,
    is_without_node,
    stays_on_node,
    waiting_for_volume,
)

VOLUME = waiting_for_volume("2027-01-15T08:00:00Z", "data", "h1", "is down")
DRAINED = stays_on_node(3, "h1", "no suitable node: 2 of 2 down")
MOVED = stays_on_node(3, "h1", "no suitable node", what="does not meet constraint a == b")
DEPENDENCY = f"{WAITING_FOR}db to be healthy"
SHORTAGE = "network front has no free address: all 5 are in use"
ALL = {VOLUME, DRAINED, MOVED, DEPENDENCY, SHORTAGE, NO_SUITABLE_NODE, f"{NO_SUITABLE_NODE}: the cluster has no nodes"}


def test_texts() -> None:
    assert VOLUME == "waiting since 2027-01-15T08:00:00Z for volume data on node h1, which is down"
    assert DRAINED == "task 3 stays on node h1, which is drained: no suitable node: 2 of 2 down"


def test_each_is_recognized() -> None:
    assert set(filter(is_wait, ALL)) == {VOLUME, DEPENDENCY}
    assert set(filter(is_wait_for_volume, ALL)) == {VOLUME}
    assert set(filter(is_stay, ALL)) == {DRAINED, MOVED}
    assert set(filter(is_without_node, ALL)) == {NO_SUITABLE_NODE, f"{NO_SUITABLE_NODE}: the cluster has no nodes"}


def test_a_drain_waits_on_its_own_node_only() -> None:
    assert drain_obstacle(DRAINED, "h1") == drain_obstacle(DRAINED, "h1", 3) == "no suitable node: 2 of 2 down"
    assert drain_obstacle(DRAINED, "h1", 4) == drain_obstacle(DRAINED, "h2") == ""
    assert not any(drain_obstacle(text, "h1") for text in ALL - {DRAINED})
