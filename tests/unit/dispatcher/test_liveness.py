"""Heartbeats: three missed are too many, unless it was the manager that did not listen, or too many missed them."""

from hypothesis import given
from hypothesis import strategies as st

from manager.dispatcher.liveness.abandoned_nodes import abandoned
from manager.dispatcher.liveness.disruption_limit import max_down_at_once
from manager.dispatcher.liveness.heartbeats import (
    MAX_LIMITED_SECONDS,
    MISSED,
    SLACK_SECONDS,
    Liveness,
    LivenessDecision,
    grace_seconds,
)
from manager.store.kinds import MANAGER, NODE_STATUS
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import NodeStatus
from tests.unit.dispatcher.dispatcher_world import World

HEARTBEAT = 2.0
PERIOD = HEARTBEAT / 4


class Watch:
    """A manager that listens to nodes, in virtual time: what is written of them, and when.

    Attributes:
        down, unknown: nodes, with the time at which they were written so first.
    """

    def __init__(self, phases: list[float]) -> None:
        self.now = 0.0
        self.down: dict[str, float] = {}
        self.unknown: dict[str, float] = {}
        self._next = {f"n{number}": phase for number, phase in enumerate(phases)}
        self._ends: dict[str, float] = {}
        self.liveness = Liveness(HEARTBEAT)
        for node_id in self._next:
            self.liveness.heard(node_id, 0.0)
        self.liveness.tick(0.0)

    def end(self, node_ids: list[str], at: float) -> None:
        """These nodes say nothing from then on."""
        self._ends.update(dict.fromkeys(node_ids, at))

    def listen(self, seconds: float) -> None:
        """The manager runs for so long."""
        for _ in range(round(seconds / PERIOD)):
            self.now += PERIOD
            self._hear()
            if self.liveness.tick(self.now):
                self._write(self.liveness.evaluate(self.now, len(self._next)))

    def pause(self, seconds: float) -> None:
        """The manager does not run for so long; what came meanwhile is read when it does again."""
        self.now += seconds

    def _hear(self) -> None:
        for node_id, due in self._next.items():
            while due <= self.now:
                if due < self._ends.get(node_id, float("inf")):
                    self.liveness.heard(node_id, self.now)
                due += HEARTBEAT
            self._next[node_id] = due

    def _write(self, verdict: LivenessDecision) -> None:
        for node_id in verdict.unknown:
            self.unknown.setdefault(node_id, self.now)
        for node_id in verdict.down:
            self.down.setdefault(node_id, self.now)
            self.liveness.marked_down(node_id, self.now)


phases = st.floats(0, HEARTBEAT)


@given(st.lists(phases, min_size=1, max_size=30), st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), max_size=6))
def test_a_node_that_speaks_is_never_lost_whatever_the_manager_sleeps_through(
    speaking: list[float], pauses: list[tuple[float, float]]
) -> None:
    watch = Watch(speaking)
    for running, pause in pauses:
        watch.listen(running)
        watch.pause(pause)
    watch.listen(20.0)
    assert not watch.down and not watch.unknown


def test_a_pause_of_the_manager_that_agents_answer_by_reconnecting_costs_no_node() -> None:
    for pause in (3.0, 8.0, 14.0):
        watch = Watch([number / 50 for number in range(100)])
        watch.listen(7.0)
        watch.pause(pause)
        # Their streams have broken, and the first to speak comes a second after the manager runs again.
        watch.liveness.tick(watch.now)
        watch.now += 1.0
        watch.listen(10.0)
        assert not watch.down and not watch.unknown, pause


@given(st.lists(phases, min_size=1, max_size=3), st.integers(0, 100))
def test_a_few_nodes_that_fall_silent_are_down_in_time(lost: list[float], others: int) -> None:
    watch = Watch([*lost, *([1.0] * others)])
    names = [f"n{number}" for number in range(len(lost))]
    watch.listen(10.0)
    watch.end(names, 10.0)
    watch.listen(MISSED * HEARTBEAT + HEARTBEAT)
    assert sorted(watch.down) == sorted(names) and not watch.unknown
    assert all(at >= 10.0 + (MISSED - 1) * HEARTBEAT for at in watch.down.values())


@given(st.integers(4, 150), st.data())
def test_of_many_that_fall_silent_together_none_is_given_up_and_they_come_back(nodes: int, data: st.DataObject) -> None:
    many = data.draw(st.integers(max_down_at_once(nodes) + 1, nodes))
    watch = Watch(data.draw(st.lists(phases, min_size=nodes, max_size=nodes)))
    names = [f"n{number}" for number in range(many)]
    watch.listen(10.0)
    watch.end(names, 10.0)
    watch.listen(60.0)
    assert not watch.down and sorted(watch.unknown) == sorted(names)


def test_when_most_of_them_are_back_the_rest_is_given_up() -> None:
    liveness = Liveness(HEARTBEAT)
    for number in range(10):
        liveness.heard(f"n{number}", 0.0)
    assert len(liveness.evaluate(7.0, 100).unknown) == 10
    for number in range(7):
        liveness.heard(f"n{number}", 7.0)
    late = 7.0 + MISSED * HEARTBEAT + grace_seconds(100)
    for number in range(7):
        liveness.heard(f"n{number}", late)
    assert liveness.evaluate(late - 0.1, 100) == LivenessDecision((), ("n7", "n8", "n9"), 3), (
        "those may be on their way"
    )
    assert liveness.evaluate(late, 100) == LivenessDecision(("n7", "n8", "n9"), (), 3)


def heard_from(liveness: Liveness, numbers: range, now: float) -> None:
    for number in numbers:
        liveness.heard(f"n{number}", now)


def test_while_nodes_return_the_rest_is_not_given_up_however_slowly() -> None:
    liveness = Liveness(HEARTBEAT)
    heard_from(liveness, range(100), 0.0)
    for second in range(1, 70):
        heard_from(liveness, range(20, 100), second)
        heard_from(liveness, range((second - 4) // 3), second)  # one of twenty each three seconds
        assert not liveness.evaluate(second, 100).down
    assert liveness.evaluate(70.0, 100) == LivenessDecision()


def test_one_that_comes_and_goes_does_not_keep_lost_ones_for_ever() -> None:
    liveness = Liveness(HEARTBEAT)
    heard_from(liveness, range(100), 0.0)
    assert len(liveness.evaluate(7.0, 100).unknown) == 100
    down: dict[str, float] = {}
    for second in range(7, 90):
        heard_from(liveness, range(4, 100), second)
        if second % 5 == 0:
            liveness.heard("n3", second)
        down.update(dict.fromkeys({*liveness.evaluate(second, 100).down} - down.keys(), second))
    assert down.keys() == {"n0", "n1", "n2"} and set(down.values()) == {7 + MAX_LIMITED_SECONDS}


def test_nodes_given_up_one_after_the_other_count_together_for_as_long_as_a_node_may_be_silent() -> None:
    liveness = Liveness(HEARTBEAT)
    for number in range(8):
        liveness.heard(f"n{number}", number * 1.0)
    for number in range(3):
        (node_id,) = liveness.evaluate(6.1 + number, 8).down if number == 0 else (f"n{number}",)
        liveness.marked_down(node_id, 6.1 + number)
    assert not liveness.evaluate(9.2, 8).down, "three are lost already"
    assert liveness.evaluate(9.2, 8).unknown == ("n3",)


def test_the_brake_does_not_hold_for_nodes_that_an_operator_has_declared_lost() -> None:
    liveness = Liveness(HEARTBEAT)
    for number in range(10):
        liveness.heard(f"n{number}", 0.0)
    verdict = liveness.evaluate(7.0, 100, {"n1", "n2"})
    assert verdict.down == ("n1", "n2") and len(verdict.unknown) == 8


def test_a_node_whose_session_is_open_is_not_overdue_by_heartbeats_alone() -> None:
    liveness = Liveness(HEARTBEAT)
    liveness.heard("n1", 0.0)
    liveness.opened("n1")
    assert not liveness.evaluate(29.0, 1).down and liveness.is_fresh("n1", 29.0)
    assert liveness.evaluate(30.1, 1).down == ("n1",), "its agent hangs"
    liveness.closed("n1")
    assert liveness.evaluate(7.0, 1).down == ("n1",)


def test_after_a_start_nodes_have_what_so_many_need_beside_the_usual_time() -> None:
    liveness = Liveness(HEARTBEAT)
    by = grace_seconds(3000)
    liveness.grant_grace([f"n{number}" for number in range(3000)], 0.0)
    liveness.heard("n7", 1.0)  # it is back, and its session may break again at once
    assert liveness.evaluate(by + MISSED * HEARTBEAT, 3000) == LivenessDecision((), (), 3000)
    assert liveness.evaluate(by, 3000).silent == 0
    assert by == 30.0


def test_a_late_tick_forgives_what_it_was_late_by_and_judges_nobody() -> None:
    liveness = Liveness(HEARTBEAT)
    liveness.heard("n1", 0.0)
    liveness.heard("ahead", 0.0)
    liveness.expect("ahead", 40.0)
    assert liveness.tick(0.0) and liveness.tick(0.5)
    assert not liveness.tick(9.0), "8 s late"
    by = 9.0 + grace_seconds(2)
    assert not liveness.evaluate(by + 6.0, 2).down
    assert liveness.evaluate(by + 6.1, 2).down == ("n1",)
    assert not liveness.evaluate(53.9, 2).down[1:], "grace lasts 8 s longer too"


def test_nodes_that_have_to_connect_anew_after_a_long_pause_have_what_so_many_need() -> None:
    watch = Watch([number / 1000 for number in range(1000)])
    watch.listen(7.0)
    watch.pause(14.0)
    watch.liveness.tick(watch.now)
    watch.now += grace_seconds(1000)
    watch.listen(5.0)
    assert not watch.down and not watch.unknown


def test_the_least_and_the_share() -> None:
    assert [max_down_at_once(nodes) for nodes in (1, 10, 79, 80, 1000)] == [3, 3, 3, 4, 50]


def test_a_node_is_fresh_while_it_is_watched_and_not_overdue() -> None:
    liveness = Liveness(HEARTBEAT)
    assert not liveness.is_fresh("n1", 0.0)
    liveness.heard("n1", 100.0)
    assert liveness.is_fresh("n1", 106.0) and not liveness.is_fresh("n1", 106.1)
    liveness.forget("n1")
    assert not liveness.is_fresh("n1", 101.0)


def test_a_node_is_abandoned_when_its_manager_is_not_there() -> None:
    world = World()
    world.put(MANAGER, "m1", Manager(id="m1"))
    states = {"n1": NodeStatus.READY, "n2": NodeStatus.READY, "n3": NodeStatus.DOWN, "n4": NodeStatus.UNKNOWN}
    for node_id, state in states.items():
        manager_id = "m1" if node_id == "n1" else "m2"
        world.put(NODE_STATUS, node_id, NodeStatus(node_id=node_id, state=state, manager_id=manager_id))
    assert abandoned(world.tables) == {"n2": "m2", "n4": "m2"}


@given(st.lists(phases, min_size=1, max_size=3), st.lists(phases, max_size=20))
def test_a_lost_node_is_evaluated_as_soon_as_it_is_overdue(lost: list[float], others: list[float]) -> None:
    liveness, now = Liveness(HEARTBEAT), 10.0
    last = {f"n{number}": 10.0 + phase for number, phase in enumerate(lost)}
    for node_id, at in last.items():
        liveness.heard(node_id, at)
    healthy = {f"h{number}": 10.0 + phase for number, phase in enumerate(others)}
    down: dict[str, float] = {}
    evaluations = 0
    while now < 20.0:
        now += liveness.delay(now)
        for node_id, phase in healthy.items():
            liveness.heard(node_id, now - (now - phase) % HEARTBEAT if now >= phase else 10.0)
        if liveness.tick(now):
            evaluations += 1
            for node_id in liveness.evaluate(now, 100).down:
                down[node_id] = now
                liveness.marked_down(node_id, now)
    assert down.keys() == last.keys()
    assert all(0.0 < down[each] - last[each] - MISSED * HEARTBEAT <= 2 * SLACK_SECONDS + 1e-6 for each in down)
    assert evaluations <= 10.0 / PERIOD + 2 * len(last) + 1


def test_after_a_late_tick_nodes_have_a_whole_period_for_what_arrived_meanwhile() -> None:
    liveness = Liveness(HEARTBEAT)
    liveness.heard("n1", 0.0)
    now = 5.9
    liveness.tick(now)
    assert not liveness.evaluate(now, 1).down
    assert liveness.delay(now) < PERIOD
    now += 8.0
    assert not liveness.tick(now)
    assert liveness.delay(now) == PERIOD


def test_a_node_that_was_sent_away_is_not_lost_before_it_was_to_come() -> None:
    liveness = Liveness(HEARTBEAT)
    liveness.expect("stranger", 20.0)
    liveness.heard("n1", 0.0)
    liveness.expect("n1", 20.0)
    assert not liveness.evaluate(26.0, 1).down
    assert liveness.evaluate(26.1, 1).down == ("n1",)
