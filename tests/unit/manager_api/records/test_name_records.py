"""Creation of an object with a name that another manager may have given meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from manager.records.name_records import claim, commit_new
from manager.records.write_groups import WriteGroup
from manager.store import kinds
from manager.store.changes import PRESENT, expect, put
from manager.store.store import Store
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network
from shoal.errors import AlreadyExists, Conflict
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd


def on_store(scenario: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            await scenario(store)

    asyncio.run(run())


def new_network(identifier: str) -> WriteGroup:
    name, free = claim("network", "front", identifier)
    return WriteGroup([put(kinds.NETWORK, identifier, Network(meta=Meta(id=identifier))), name], [free])


def test_a_name_is_given_once() -> None:
    async def scenario(store: Store) -> None:
        assert await commit_new(store, new_network("n1"), "taken") == store.tables.revision
        with pytest.raises(AlreadyExists, match="taken") as refused:
            await commit_new(store, new_network("n2"), "taken")
        assert isinstance(refused.value.__cause__, Conflict)
        assert refused.value.__cause__.key == "name/network/front"
        assert store.tables.networks.keys() == {"n1"}

    on_store(scenario)


def test_any_other_condition_is_a_conflict() -> None:
    async def scenario(store: Store) -> None:
        group = new_network("n1")
        with pytest.raises(Conflict) as refused:
            await commit_new(store, WriteGroup(group.writes, [*group.expects, expect(kinds.SECRET, "s1", PRESENT)]), "")
        assert refused.value.key == "secret/s1"
        assert not store.tables.networks

    on_store(scenario)
