"""Tasks that are to stop wait for every node; what each node's answer costs, and what a node that is away means."""

from hypothesis import given
from hypothesis import strategies as st

from manager.dispatcher.withdrawals.pending_withdrawals import (
    PendingWithdrawals,
    RouteState,
    Withdrawal,
    applied_through,
)

NODES = ("n1", "n2", "n3")
TASKS = ("t1", "t2", "t3")


class Asked:
    """Answers as it is told, and counts."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, int], RouteState] = {}
        self.count = 0

    def __call__(self, node_id: str, withdrawal: Withdrawal) -> RouteState:
        self.count += 1
        return self.answers.get((node_id, withdrawal.generation), RouteState.POSSIBLE)


def noted(*nodes: str, generation: int = 1) -> Withdrawal:
    return Withdrawal(generation, 10 + generation, frozenset(nodes))


def test_the_last_node_that_answers_clears_it() -> None:
    drains, asked = PendingWithdrawals(), Asked()
    assert drains.update({"t1"}, lambda _: noted("n1", "n2")) == ["t1"]
    asked.answers["n1", 1] = RouteState.WITHDRAWN
    assert drains.node_applied("n1", asked) == []
    asked.answers["n2", 1] = RouteState.WITHDRAWN
    assert drains.node_applied("n2", asked) == ["t1"]
    assert not drains.waiting and drains.node_applied("n2", asked) == []


def test_a_node_that_has_answered_is_not_asked_again() -> None:
    drains, asked = PendingWithdrawals(), Asked()
    drains.update({"t1"}, lambda _: noted("n1", "n2"))
    asked.answers["n1", 1] = RouteState.WITHDRAWN
    drains.node_applied("n1", asked)
    asked.answers["n1", 1] = RouteState.POSSIBLE  # its agent begins anew, from what it keeps
    asked.answers["n2", 1] = RouteState.WITHDRAWN
    assert drains.node_applied("n2", asked) == ["t1"]


def test_one_that_is_away_is_asked_again_when_it_comes_back() -> None:
    drains, asked = PendingWithdrawals(), Asked()
    drains.update({"t1"}, lambda _: noted("n1", "n2"))
    asked.answers["n1", 1] = RouteState.NODE_AWAY
    assert drains.pop_withdrawn(["t1"], asked) == []
    asked.answers = {("n1", 1): RouteState.POSSIBLE, ("n2", 1): RouteState.WITHDRAWN}
    assert drains.node_applied("n2", asked) == []
    asked.answers["n1", 1] = RouteState.WITHDRAWN
    assert drains.node_applied("n1", asked) == ["t1"]


def test_an_answer_costs_the_tasks_that_wait_for_its_node() -> None:
    drains, asked = PendingWithdrawals(), Asked()
    nodes = [f"n{number}" for number in range(100)]
    drains.update({f"t{number}" for number in range(50)}, lambda _: noted(*nodes))
    for node_id in nodes[:-1]:
        asked.answers[node_id, 1] = RouteState.WITHDRAWN
        assert drains.node_applied(node_id, asked) == []
    assert asked.count <= 2 * 50 * 99
    asked.answers[nodes[-1], 1] = RouteState.WITHDRAWN
    assert len(drains.node_applied(nodes[-1], asked)) == 50


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("stop"), st.sampled_from(TASKS)),
            st.tuples(st.just("end"), st.sampled_from(TASKS)),
            st.tuples(st.just("applied"), st.sampled_from(NODES)),
        ),
        max_size=20,
    )
)
def test_a_task_waits_exactly_for_the_nodes_that_have_not_applied_it(steps: list[tuple[str, str]]) -> None:
    """Against the plain rule: at each moment, every node has applied the generation in which it was withdrawn."""
    drains, stopping, generation = PendingWithdrawals(), set[str](), 0
    applied = dict.fromkeys(NODES, -1)
    withdrawn: dict[str, int] = {}

    def ask(node_id: str, withdrawal: Withdrawal) -> RouteState:
        return RouteState.WITHDRAWN if applied[node_id] >= withdrawal.generation else RouteState.POSSIBLE

    for kind, name in steps:
        if kind == "applied":
            applied[name] = generation
            clear = drains.node_applied(name, ask)
        else:
            generation += 1
            (stopping.add if kind == "stop" else stopping.discard)(name)
            withdrawal = noted(*NODES, generation=generation)
            clear = drains.pop_withdrawn(drains.update(stopping, dict.fromkeys(TASKS, withdrawal).__getitem__), ask)
        withdrawn = {task: withdrawn.get(task, generation) for task in stopping}
        due = {task for task, since in withdrawn.items() if all(at >= since for at in applied.values())}
        assert set(clear) == due
        stopping -= due
        withdrawn = {task: since for task, since in withdrawn.items() if task in stopping}
        assert drains.waiting.keys() == stopping


def test_other_managers_are_told_up_to_what_all_own_nodes_have_applied() -> None:
    waiting = [noted("n1", generation=3), noted("n1", generation=5)]
    assert applied_through(waiting, None, 15) == 15
    assert applied_through(waiting, 6, 15) == 15
    assert applied_through(waiting, 4, 15) == 14
    assert applied_through(waiting, 0, 15) == 12
    assert applied_through([], 0, 15) == 15
