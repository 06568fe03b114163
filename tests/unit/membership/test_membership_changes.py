"""Managers come, go and are replaced: which changes of etcd's members result, whatever leader makes them."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from manager.membership.member_api import EtcdMember
from manager.membership.membership_plan import CATCH_UP_MS, START_MS
from shoal.api.v1.cluster_pb2 import ManagerMembership
from tests.unit.membership.membership_world import World, urls, world

REQUESTED, REMOVING = ManagerMembership.REQUESTED, ManagerMembership.REMOVING


def run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with world() as made:
            await scenario(made)

    asyncio.run(inside())


def test_a_sole_manager_is_recorded_and_left_alone() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.settle()
        assert cluster.state("m1") == "VOTER"
        assert cluster.etcd.changes == []
        assert not cluster.opened

    run(scenario)


def test_three_managers_by_one_change_at_a_time() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.join("m2")
        await cluster.join("m3")
        assert cluster.etcd.changes == [
            "update https://m1:7443",
            "add https://m2:7443",
            "promote m2",
            "add https://m3:7443",
            "promote m3",
        ]
        assert cluster.opened == {"m1"}
        assert urls(cluster) == [f"https://m{number}:7443" for number in (1, 2, 3)]
        assert {cluster.state(f"m{number}") for number in (1, 2, 3)} == {"VOTER"}

    run(scenario)


def test_managers_that_join_at_once_are_taken_in_the_order_of_their_requests() -> None:
    async def scenario(cluster: World) -> None:
        for name in ("m4", "m2", "m3"):
            await cluster.request(name)
            cluster.now_ms += 1
        await cluster.settle()
        assert [cluster.state(name) for name in ("m4", "m2", "m3")] == ["LEARNER", "REQUESTED", "REQUESTED"]
        for name in ("m4", "m2", "m3"):
            await cluster.run(name, cluster.membership(name).member_id)
            await cluster.settle()
        assert len(cluster.etcd.voters()) == 4

    run(scenario)


def test_an_added_member_whose_answer_was_lost_is_adopted() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.settle()
        await cluster.request("m2")
        await cluster.step()  # Opens the peers.
        cluster.etcd.lose_answers = 1
        await cluster.settle()
        assert cluster.state("m2") == "LEARNER"
        assert cluster.etcd.changes.count("add https://m2:7443") == 1

    run(scenario)


def test_an_added_member_whose_answer_was_lost_is_removed_with_its_manager() -> None:
    """Left behind, it would keep every other manager from joining: etcd has one learner at a time."""

    async def scenario(cluster: World) -> None:
        await cluster.settle()
        await cluster.request("m2")
        await cluster.step()  # Opens the peers.
        cluster.etcd.lose_answers = 1
        await cluster.step()
        assert cluster.state("m2") == "REQUESTED"
        await cluster.set_state("m2", REMOVING)
        await cluster.settle()
        assert [each.id for each in cluster.etcd.members.values()] == [1]
        await cluster.join("m3")
        assert cluster.state("m3") == "VOTER"

    run(scenario)


def test_a_removal_that_is_requested_while_a_manager_is_given_its_vote_is_carried_out() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.join("m2")
        await cluster.request("m3")
        await cluster.settle()

        async def remove() -> None:
            await cluster.set_state("m3", REMOVING)

        await cluster.run("m3", cluster.membership("m3").member_id)
        cluster.etcd.meanwhile = remove
        await cluster.settle()
        assert cluster.state("m3") == ""
        assert "m3" in cluster.store.tables.removed_managers
        assert [each.name for each in cluster.etcd.members.values()] == ["m1", "m2"]

    run(scenario)


def test_a_learner_that_somebody_has_added_by_hand_is_named_to_who_waits_for_it() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.settle()
        cluster.etcd.members[0xABC] = EtcdMember(0xABC, "", ("https://192.0.2.9:7443",), is_learner=True)
        await cluster.request("m2")
        await cluster.settle()
        assert cluster.state("m2") == "REQUESTED"
        assert "`etcdctl member remove abc`" in cluster.membership("m2").problem
        await cluster.etcd.remove(0xABC)
        await cluster.join("m2")
        assert cluster.state("m2") == "VOTER"

    run(scenario)


def test_a_learner_that_does_not_start_is_removed_and_may_be_tried_again() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.request("m2")
        await cluster.request("m3")
        await cluster.settle()
        assert cluster.membership("m2").problem == "waiting for its etcd to start"
        cluster.now_ms += START_MS
        await cluster.settle()
        assert cluster.state("m2") == "FAILED"
        assert "port 7443" in cluster.membership("m2").problem
        assert cluster.state("m3") == "LEARNER"
        await cluster.run("m3", cluster.membership("m3").member_id)
        await cluster.set_state("m2", REQUESTED)
        await cluster.settle()
        assert cluster.state("m2") == "LEARNER"

    run(scenario)


def test_a_learner_that_does_not_catch_up_is_removed() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.request("m2")
        await cluster.settle()
        member = cluster.membership("m2").member_id
        cluster.etcd.behind.add(member)
        await cluster.run("m2", member)
        cluster.now_ms += START_MS
        await cluster.settle()
        assert cluster.state("m2") == "LEARNER"
        cluster.now_ms += CATCH_UP_MS
        await cluster.settle()
        assert cluster.state("m2") == "FAILED"

    run(scenario)


def test_nobody_joins_while_a_manager_is_down_and_the_operator_is_told() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.join("m2")
        await cluster.join("m3")
        await cluster.stop("m3")
        await cluster.request("m4")
        await cluster.settle()
        assert cluster.state("m4") == "REQUESTED"
        assert "shoal manager rm m3" in cluster.membership("m4").problem
        await cluster.set_state("m3", REMOVING)
        await cluster.settle()
        assert cluster.etcd.changes[-2:] == ["remove m3", "add https://m4:7443"]
        assert cluster.state("m3") == ""
        assert "m3" in cluster.store.tables.removed_managers

    run(scenario)


def test_the_leader_of_both_is_removed_by_another_manager() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.join("m2")
        await cluster.join("m3")
        await cluster.set_state("m1", REMOVING)
        await cluster.settle()
        assert cluster.leader == "m2"
        assert cluster.etcd.changes[-2:] == ["lead m2", "remove m1"]
        assert "m1" not in cluster.store.tables.managers

    run(scenario)


@pytest.mark.parametrize("down", [1, 2])
def test_a_removal_waits_while_too_few_would_be_left(down: int) -> None:
    async def scenario(cluster: World) -> None:
        await cluster.join("m2")
        await cluster.join("m3")
        cluster.etcd.running -= {cluster.membership(f"m{3 - number}").member_id for number in range(down - 1)}
        await cluster.stop("m3")
        await cluster.set_state("m2", REMOVING)
        await cluster.settle()
        assert cluster.state("m2") == "REMOVING"
        assert "remove m2" not in cluster.etcd.changes

    run(scenario)


def test_the_last_manager_is_never_removed() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.settle()
        await cluster.set_state("m1", REMOVING)
        await cluster.settle()
        assert cluster.state("m1") == "REMOVING"
        assert "too few" in cluster.membership("m1").problem
        assert cluster.etcd.changes == []

    run(scenario)


def test_the_only_manager_is_removed_once_another_one_votes() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.settle()
        await cluster.set_state("m1", REMOVING)
        await cluster.join("m2")
        assert [each.name for each in cluster.etcd.members.values()] == ["m2"]
        assert cluster.leader == "m2"

    run(scenario)


def test_a_manager_at_another_address_keeps_its_place() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.join("m2")
        await cluster.run("m2", cluster.membership("m2").member_id, address="elsewhere:7443")
        await cluster.settle()
        assert urls(cluster) == ["https://elsewhere:7443", "https://m1:7443"]
        assert cluster.membership("m2").peer_address == "elsewhere:7443"

    run(scenario)


def test_a_member_that_was_removed_by_hand_is_reported() -> None:
    async def scenario(cluster: World) -> None:
        await cluster.join("m2")
        await cluster.etcd.remove(cluster.membership("m2").member_id)
        await cluster.settle()
        assert cluster.state("m2") == "FAILED"
        assert "shoal manager rm" in cluster.membership("m2").problem

    run(scenario)


@pytest.mark.parametrize("seed", range(40))
def test_any_history_keeps_a_majority_and_ends_settled(seed: int) -> None:
    """Managers join, die, return and are removed at random, answers are lost, and each step has another leader."""
    dice = random.Random(seed)

    async def scenario(cluster: World) -> None:
        await cluster.settle()
        for number in range(2, 9):
            await _happening(cluster, dice, f"m{number}")
            learners = [each for each in cluster.etcd.members.values() if each.is_learner]
            assert len(learners) <= 1
            assert cluster.etcd.has_quorum()
        cluster.etcd.lose_answers = 0
        for name, known in list(cluster.store.tables.memberships.items()):
            if known.state in (ManagerMembership.VOTER, REMOVING) and known.member_id in cluster.etcd.members:
                await cluster.run(name, known.member_id)
        await cluster.settle(200)
        states = {cluster.state(name) for name in cluster.store.tables.memberships}
        assert states <= {
            "VOTER",
            "FAILED",
            "LEARNER",
            "REQUESTED",
            *(["REMOVING"] if len(cluster.etcd.voters()) == 1 else []),
        }
        recorded = {each.member_id for each in cluster.store.tables.memberships.values() if each.member_id}
        assert recorded == set(cluster.etcd.members)

    run(scenario)


async def _happening(cluster: World, dice: random.Random, name: str) -> None:
    cluster.etcd.lose_answers = dice.choice([0, 0, 1])
    voters = [
        each.manager_id for each in cluster.store.tables.memberships.values() if each.state == ManagerMembership.VOTER
    ]
    running = [each for each in voters if each in cluster.store.tables.managers]
    kind = dice.choice(["join", "join", "die", "remove"])
    if kind == "join":
        await cluster.join(name) if dice.random() < 0.8 else await cluster.request(name)
    elif kind == "die" and len(running) - 1 > len(cluster.etcd.voters()) // 2:
        await cluster.stop(dice.choice(sorted(set(running) - {cluster.leader})))
    elif kind == "remove" and voters:
        await cluster.set_state(dice.choice(sorted(cluster.store.tables.memberships)), REMOVING)
    cluster.now_ms += dice.choice([0, START_MS + 1])
    await cluster.settle()
