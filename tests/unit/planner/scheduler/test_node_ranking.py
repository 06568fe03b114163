"""The order of nodes by load, kept up while a plan claims on them, whether few of them change or most."""

from hypothesis import given
from hypothesis import strategies as st

from manager.planner.index.resource_index import NodeUsage
from manager.planner.scheduler.node_ranking import NodeRanking

FEW = 300
"""Of so many nodes the changes of eight are followed one by one, and those of more by a merge."""


def hosts(number: int) -> list[NodeUsage]:
    made = [NodeUsage(f"n{each:03d}") for each in range(number)]
    for host in made:
        host.cpus, host.memory = 1_000, 1_000
    return made


def claim(host: NodeUsage, cpus: int, touched: list[NodeUsage]) -> None:
    host.used_cpus += cpus
    host.tasks += 1
    touched.append(host)


@given(st.lists(st.lists(st.tuples(st.integers(0, FEW - 1), st.integers(0, 9)), max_size=20), max_size=12))
def test_claims_anywhere_leave_the_order_as_a_sort_would(rounds: list[list[tuple[int, int]]]) -> None:
    every, touched = hosts(FEW), list[NodeUsage]()
    ranking = NodeRanking(every, touched)
    for claims in rounds:
        for which, cpus in claims:
            claim(every[which], cpus, touched)
        assert [*ranking.hosts()] == sorted(every, key=NodeUsage.rank)


@given(st.lists(st.integers(1, FEW), min_size=1, max_size=6))
def test_batches_that_take_the_least_loaded_do_too(sizes: list[int]) -> None:
    every, touched = hosts(FEW), list[NodeUsage]()
    ranking = NodeRanking(every, touched)
    for size in sizes:
        for host in [*ranking.hosts()][:size]:
            claim(host, 1, touched)
        assert [*ranking.hosts()] == sorted(every, key=NodeUsage.rank)


def test_the_list_stays_as_it_is_until_it_is_asked_for_again() -> None:
    every, touched = hosts(FEW), list[NodeUsage]()
    ranking = NodeRanking(every, touched)
    before = ranking.hosts()
    for host in [*before][:100]:
        claim(host, 1, touched)
    assert [*before] == every
    assert ranking.hosts()[0] is every[100]


def test_claims_on_nodes_that_are_not_ranked_do_not_matter() -> None:
    every, touched = hosts(FEW), list[NodeUsage]()
    ranking = NodeRanking(every[1:], touched)
    claim(every[0], 1, touched)
    assert [*ranking.hosts()] == every[1:]
