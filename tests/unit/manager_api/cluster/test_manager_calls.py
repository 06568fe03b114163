"""Managers are listed, removed and promoted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from manager.cluster.manager_handler import ManagerHandler
from manager.store.changes import delete, put
from manager.store.kinds import MANAGER, MEMBERSHIP, REGISTERED_MANAGER
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Manager, ManagerMembership, RegisteredManager
from shoal.api.v1.control_pb2 import ListManagersRequest, PromoteManagerRequest, RemoveManagerRequest
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.rpc.caller import Caller
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

CALLER = cast(Caller, None)
VOTER, FAILED, EXTERNAL = ManagerMembership.VOTER, ManagerMembership.FAILED, ManagerMembership.EXTERNAL


def run(scenario: Callable[[Store, ManagerHandler], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            await scenario(store, ManagerHandler(store=store, now_ms=lambda: 5))

    asyncio.run(inside())


async def add(
    store: Store, name: str, member: int = 0, *, state: ManagerMembership.State.ValueType = VOTER, runs: bool = True
) -> None:
    membership = ManagerMembership(manager_id=name, state=state, member_id=member, join_key_digest=b"digest")
    writes = [
        put(REGISTERED_MANAGER, name, RegisteredManager(id=name, api_address=f"{name}:7440")),
        put(MEMBERSHIP, name, membership),
    ]
    if runs:
        writes.append(put(MANAGER, name, Manager(id=name, etcd_member_id=member, certificate_expires_at_ms=7)))
    await store.commit(writes)


async def listed(handler: ManagerHandler) -> Any:
    return await handler.list(ListManagersRequest(), CALLER)


def test_a_listing_says_how_many_may_fail() -> None:
    async def scenario(store: Store, handler: ManagerHandler) -> None:
        for number in (1, 2, 3):
            await add(store, f"m{number}", number)
        found = await listed(handler)
        assert (found.voters, found.tolerated_failures, found.warning) == (3, 1, "")
        assert not found.managers[0].membership.join_key_digest
        assert found.managers[2].certificate_expires_at_ms == 7
        await store.commit([delete(MANAGER, "m3")])
        found = await listed(handler)
        assert (found.tolerated_failures, [each.alive for each in found.managers]) == (0, [True, True, False])
        assert "0 more failures" in found.warning
        assert not found.managers[2].certificate_expires_at_ms

    run(scenario)


def test_a_manager_that_has_only_asked_is_listed_too() -> None:
    async def scenario(store: Store, handler: ManagerHandler) -> None:
        waiting = ManagerMembership(manager_id="m9", state=ManagerMembership.REQUESTED, problem="manager m3 is down")
        await store.commit([put(MEMBERSHIP, "m9", waiting)])
        view = (await listed(handler)).managers[0]
        assert (view.manager.id, view.alive, view.membership.problem) == ("m9", False, "manager m3 is down")

    run(scenario)


def test_a_running_manager_is_removed_by_force_alone() -> None:
    async def scenario(store: Store, handler: ManagerHandler) -> None:
        for number in (1, 2, 3):
            await add(store, f"m{number}", number)
        with pytest.raises(Refused, match="is running; stop it first, or use --force"):
            await handler.remove(RemoveManagerRequest(manager="m2"), CALLER)
        removal = asyncio.create_task(handler.remove(RemoveManagerRequest(manager="m2", force=True), CALLER))
        with store.follow() as changes:
            while store.tables.memberships["m2"].state != ManagerMembership.REMOVING:
                await anext(changes)
        assert store.tables.memberships["m2"].since_ms == 5
        await store.commit([delete(MEMBERSHIP, "m2"), delete(REGISTERED_MANAGER, "m2")])  # The leader has done it.
        assert (await removal).id == "m2"

    run(scenario)


@pytest.mark.parametrize(
    ("running", "error"), [({"m1"}, "the only manager"), ({"m1", "m2"}, "0 of 2 managers would run|1 of 2 managers")]
)
def test_a_removal_that_leaves_no_majority_is_refused(running: set[str], error: str) -> None:
    async def scenario(store: Store, handler: ManagerHandler) -> None:
        names = ["m1"] if len(running) == 1 else ["m1", "m2", "m3"]
        for number, name in enumerate(names, start=1):
            await add(store, name, number, runs=name in running)
        with pytest.raises(Refused, match=error):
            await handler.remove(RemoveManagerRequest(manager="m1", force=True), CALLER)
        assert store.tables.memberships["m1"].state == VOTER

    run(scenario)


def test_one_with_an_external_etcd_is_only_forgotten() -> None:
    async def scenario(store: Store, handler: ManagerHandler) -> None:
        await add(store, "m1", state=EXTERNAL)
        await add(store, "m2", state=EXTERNAL, runs=False)
        with pytest.raises(Refused, match="external etcd; stop it first"):
            await handler.remove(RemoveManagerRequest(manager="m1", force=True), CALLER)
        await handler.remove(RemoveManagerRequest(manager="m2"), CALLER)
        assert set(store.tables.registered_managers) == set(store.tables.memberships) == {"m1"}
        assert not store.tables.removed_managers

    run(scenario)


def test_only_what_failed_is_promoted() -> None:
    async def scenario(store: Store, handler: ManagerHandler) -> None:
        await add(store, "m1", 1)
        await add(store, "m2", state=FAILED)
        await add(store, "m3", 3, state=ManagerMembership.LEARNER)
        await add(store, "x4", state=EXTERNAL)
        assert (await handler.promote(PromoteManagerRequest(manager="m2"), CALLER)).id == "m2"
        assert store.tables.memberships["m2"].state == ManagerMembership.REQUESTED
        for name, error in (("m1", "already votes"), ("m3", "being added or removed"), ("x4", "external etcd")):
            with pytest.raises(Refused, match=error):
                await handler.promote(PromoteManagerRequest(manager=name), CALLER)

    run(scenario)


def test_references_are_ids_or_prefixes() -> None:
    async def scenario(store: Store, handler: ManagerHandler) -> None:
        await add(store, "ab1", 1)
        await add(store, "ab2", 2)
        with pytest.raises(InvalidInput, match="ambiguous"):
            await handler.promote(PromoteManagerRequest(manager="ab"), CALLER)
        with pytest.raises(NotFound, match="shoal manager ls"):
            await handler.promote(PromoteManagerRequest(manager="zz"), CALLER)

    run(scenario)
