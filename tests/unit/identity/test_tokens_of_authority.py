"""Join tokens as records: their end, their uses, exact over managers, and answers that were lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.certificate_authority.join_limits import JOINS_AT_ONCE, RENEWALS_AT_ONCE, IssuanceLimit
from manager.certificate_authority.join_tokens import DEFAULT_TTL_MS, DEFAULT_USES, MAX_TTL_MS, MAX_USES, RETENTION_MS
from manager.store import kinds
from manager.store.changes import delete, put
from manager.store.store import Store
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.errors import AlreadyExists, Busy, InvalidInput, NotFound, ShoalError, Unauthenticated
from shoal.identity import certificates, join_token
from shoal.identity.keyring import Keyring
from shoal.ids import new_id
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

KEY = bytes(range(32))


class World:
    """One cluster, and any number of managers."""

    def __init__(self) -> None:
        self.etcd = MemoryEtcd()
        self.now = 1_800_000_000.0

    @asynccontextmanager
    async def manager(self) -> AsyncGenerator[tuple[Store, CertificateAuthority]]:
        async with loaded_store(self.etcd) as store:
            keyring = Keyring(KEY)
            authority = CertificateAuthority(store=store, keyring=keyring, clock=lambda: self.now, new_id=new_id)
            await authority.bootstrap()
            yield store, authority


def csr() -> bytes:
    return certificates.request(certificates.new_key())


def test_a_token_ends_by_time_and_by_use() -> None:
    async def scenario() -> None:
        world = World()
        async with world.manager() as (store, authority):
            token, record = await authority.tokens.create(ttl_ms=3_600_000, uses=2)
            await authority.join(token, csr(), "h1")
            await authority.join(token, csr(), "h2")
            with pytest.raises(Unauthenticated, match="has been used by all 2 hosts"):
                await authority.join(token, csr(), "h3")
            other, _ = await authority.tokens.create(ttl_ms=3_600_000)
            world.now += 3_601
            with pytest.raises(
                Unauthenticated, match="expired 1s ago; create a new one with `shoal cluster join-token`"
            ):
                await authority.join(other, csr(), "h3")
            assert len(store.tables.nodes) == 2
            assert authority.tokens.list() == []
            assert record.meta.id in store.tables.join_tokens

    asyncio.run(scenario())


def test_uses_are_exact_over_managers() -> None:
    async def scenario() -> None:
        world = World()
        async with world.manager() as (store, one), world.manager() as (other, two):
            token, record = await one.tokens.create(uses=7)
            await other.reached(store.version_of(kinds.JOIN_TOKEN, record.meta.id))
            joins = [manager.join(token, csr(), f"h{number}") for number in range(10) for manager in (one, two)]
            outcomes = await asyncio.gather(*joins, return_exceptions=True)
            refused = [each for each in outcomes if isinstance(each, ShoalError)]
            assert len(outcomes) - len(refused) == 7
            assert all(isinstance(each, Unauthenticated) for each in refused)
            await store.reached(other.tables.revision)
            assert len(store.tables.nodes) == 7

    asyncio.run(scenario())


def test_a_host_whose_answer_was_lost_is_the_same_node_at_no_further_use() -> None:
    async def scenario() -> None:
        world = World()
        async with world.manager() as (store, authority):
            token, _ = await authority.tokens.create(uses=1)
            key = certificates.new_key()
            first = await authority.join(token, certificates.request(key), "h1")
            world.now += DEFAULT_TTL_MS / 1000 + 1
            again = await authority.join(token, certificates.request(key), "h1")
            assert again.node_id == first.node_id
            assert certificates.key_matches(again.certificate, key)
            assert len(store.tables.nodes) == 1
            await store.commit([delete(kinds.NODE, first.node_id)])
            with pytest.raises(Unauthenticated):
                await authority.join(token, certificates.request(key), "h1")

    asyncio.run(scenario())


def test_a_name_that_is_taken_costs_no_use() -> None:
    async def scenario() -> None:
        async with World().manager() as (store, authority):
            token, record = await authority.tokens.create()
            first = await authority.join(token, csr(), "h1")
            await store.commit([put(kinds.NAME, "node/h1", Name(meta=Meta(id=first.node_id)))])
            with pytest.raises(AlreadyExists, match=f"run `shoal node rm {first.node_id}`"):
                await authority.join(token, csr(), "H1")
            assert store.tables.join_tokens[record.meta.id].uses_left == DEFAULT_USES - 1

    asyncio.run(scenario())


def test_removed_and_rotated_tokens_admit_nobody() -> None:
    async def scenario() -> None:
        async with World().manager() as (_, authority):
            token, record = await authority.tokens.create()
            kept, _ = await authority.tokens.create()
            await authority.tokens.remove(record.meta.id)
            with pytest.raises(Unauthenticated, match="invalid join token"):
                await authority.join(token, csr(), "h1")
            with pytest.raises(NotFound, match="join-token ls"):
                await authority.tokens.remove(record.meta.id)
            authority.tokens.check(kept)
            new, only = await authority.tokens.rotate(uses=3)
            with pytest.raises(Unauthenticated, match="invalid join token"):
                authority.tokens.check(kept)
            authority.tokens.check(new)
            assert [(each.meta.id, each.uses_left) for each in authority.tokens.list()] == [(only.meta.id, 3)]

    asyncio.run(scenario())


def test_bounds_are_told_and_records_of_long_ended_tokens_go() -> None:
    async def scenario() -> None:
        world = World()
        async with world.manager() as (store, authority):
            for ttl_ms, uses in ((MAX_TTL_MS + 1, 1), (1, MAX_USES + 1), (-1, 1)):
                with pytest.raises(InvalidInput, match=r"must be (between|at most)"):
                    await authority.tokens.create(ttl_ms=ttl_ms, uses=uses)
            await authority.tokens.create()
            world.now += (DEFAULT_TTL_MS + RETENTION_MS) / 1000 + 1
            _, record = await authority.tokens.create()
            assert set(store.tables.join_tokens) == {record.meta.id}

    asyncio.run(scenario())


def test_who_writes_etcd_without_the_cluster_key_makes_no_token() -> None:
    async def scenario() -> None:
        async with World().manager() as (store, authority):
            secret = join_token.new_secret()
            _, record = await authority.tokens.create()
            record.meta.id = join_token.token_id(secret)
            record.secret_mac = join_token.mac(bytes(32), secret)
            await store.commit([put(kinds.JOIN_TOKEN, record.meta.id, record)])
            ca_hash = join_token.hash_of_ca(authority.cluster().ca_certificate)
            with pytest.raises(Unauthenticated, match="invalid join token"):
                authority.tokens.check(str(join_token.JoinToken(ca_hash, secret)))

    asyncio.run(scenario())


def test_a_cluster_from_before_gets_a_key_for_tokens() -> None:
    async def scenario() -> None:
        world = World()
        async with world.manager() as (store, authority):
            old = authority.cluster()
            old.ClearField("encrypted_token_key")
            await store.commit([put(kinds.CLUSTER, "", old)])
            await authority.bootstrap()
            token, _ = await authority.tokens.create()
            await authority.join(token, csr(), "h1")

    asyncio.run(scenario())


def test_joins_and_renewals_are_bounded() -> None:
    now = 0.0
    limit = IssuanceLimit(clock=lambda: now)
    for _ in range(JOINS_AT_ONCE):
        limit.join()
    with pytest.raises(Busy, match="too many hosts are joining"):
        limit.join()
    for _ in range(RENEWALS_AT_ONCE):
        limit.renewal("n1")
    with pytest.raises(Busy, match="too many certificate renewals by n1"):
        limit.renewal("n1")
    limit.renewal("n2")
    now += 60
    limit.join()
    limit.renewal("n1")
