"""Managers join: what they are given, for which tokens, and how often."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.certificate_authority.manager_joins import JoinedManager, ManagerJoins
from manager.store.changes import put
from manager.store.kinds import REMOVED_MANAGER
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import JoinToken, ManagerMembership, RemovedManager
from shoal.errors import InvalidInput, PermissionDenied, Refused, Unauthenticated
from shoal.identity import certificates
from shoal.identity.keyring import Keyring
from shoal.identity.roles import CertificateSubject, Role
from shoal.ids import new_id
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

NOW = 1_800_000_000.0
KEYRING = Keyring(bytes(range(32)), previous=bytes(32))
ADDRESS = "192.0.2.2:7443"
MANAGER = JoinToken.MANAGER

Scenario = Callable[[Store, CertificateAuthority, ManagerJoins], Awaitable[None]]


def run(scenario: Scenario, *, own_etcd: bool = True) -> None:
    async def inside() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            authority = CertificateAuthority(store=store, keyring=KEYRING, clock=lambda: NOW, new_id=new_id)
            await authority.bootstrap()
            joins = ManagerJoins(
                store=store, authority=authority, own_etcd=own_etcd, now_ms=lambda: int(NOW * 1000), new_id=new_id
            )
            await scenario(store, authority, joins)

    asyncio.run(inside())


async def token_for(authority: CertificateAuthority) -> str:
    token, _ = await authority.tokens.create(role=MANAGER)
    return token


def csr() -> bytes:
    return certificates.request(certificates.new_key())


def test_a_manager_gets_its_certificates_and_the_cluster_key() -> None:
    async def scenario(store: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        made = await joins.join(await token_for(authority), csr(), csr(), ADDRESS)
        cluster = authority.cluster()
        subject = CertificateSubject(made.manager_id, Role.MANAGER, cluster.meta.id)
        assert certificates.subject_of(made.certificate) == subject
        assert certificates.is_signed_by(made.peer_certificate, cluster.ca_certificate)
        assert certificates.names_host(made.peer_certificate, "192.0.2.2")
        assert certificates.names_host(made.peer_certificate, "etcd.shoal")
        assert (made.cluster_key, made.previous_cluster_key) == (KEYRING.current, KEYRING.previous)
        membership = store.tables.memberships[made.manager_id]
        assert membership.state == ManagerMembership.REQUESTED
        assert membership.peer_address == ADDRESS

    run(scenario)


def test_the_keys_are_not_in_the_representation() -> None:
    made = JoinedManager("m", "c", b"", b"", b"secret-key", b"older-key")
    assert "secret" not in repr(made) and "older" not in repr(made)


def test_nobody_calls_shoal_with_a_certificate_of_etcd() -> None:
    async def scenario(_: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        made = await joins.join(await token_for(authority), csr(), csr(), ADDRESS)
        with pytest.raises(Unauthenticated):
            certificates.subject_of(made.peer_certificate)
        assert not certificates.names_host(made.certificate, "etcd.shoal")

    run(scenario)


def test_a_repeated_join_is_the_same_manager_for_one_use() -> None:
    async def scenario(store: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        token, request = await token_for(authority), csr()
        first = await joins.join(token, request, csr(), ADDRESS)
        again = await joins.join(token, request, csr(), "192.0.2.3:7443")
        assert again.manager_id == first.manager_id
        assert store.tables.memberships[first.manager_id].peer_address == "192.0.2.3:7443"
        with pytest.raises(Unauthenticated, match="has been used"):
            await joins.join(token, csr(), csr(), ADDRESS)
        assert len(store.tables.memberships) == 1

    run(scenario)


def test_a_token_is_for_one_role() -> None:
    async def scenario(store: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        with pytest.raises(Unauthenticated, match="is for managers, not for nodes"):
            await authority.join(await token_for(authority), csr(), "h1")
        agents, _ = await authority.tokens.create()
        with pytest.raises(Unauthenticated, match="is for nodes, not for managers"):
            await joins.join(agents, csr(), csr(), ADDRESS)
        assert not store.tables.memberships and not store.tables.nodes

    run(scenario)


def test_a_token_for_managers_is_for_one_host_and_an_hour() -> None:
    async def scenario(_: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        del joins
        _token, record = await authority.tokens.create(role=MANAGER)
        assert (record.uses, record.expires_at_ms) == (1, int(NOW * 1000) + 3_600_000)

    run(scenario)


@pytest.mark.parametrize("address", ["192.0.2.2", "manager.shoal:7443", ":7443", "host:0"])
def test_a_peer_address_that_is_none_is_refused(address: str) -> None:
    async def scenario(store: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        with pytest.raises(InvalidInput):
            await joins.join(await token_for(authority), csr(), csr(), address)
        assert not store.tables.memberships

    run(scenario)


def test_own_and_external_etcd_are_not_mixed() -> None:
    async def with_own(_: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        with pytest.raises(Refused, match="without --etcd-endpoint"):
            await joins.join(await token_for(authority), csr(), b"", "")

    async def with_external(store: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        token = await token_for(authority)
        with pytest.raises(Refused, match="with --etcd-endpoint"):
            await joins.join(token, csr(), csr(), ADDRESS)
        made = await joins.join(token, csr(), b"", "")
        assert store.tables.memberships[made.manager_id].state == ManagerMembership.EXTERNAL
        assert not made.peer_certificate

    run(with_own)
    run(with_external, own_etcd=False)


def test_a_removed_manager_renews_nothing() -> None:
    async def scenario(store: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        made = await joins.join(await token_for(authority), csr(), csr(), ADDRESS)
        subject = certificates.subject_of(made.certificate)
        assert authority.renew(subject, csr())
        await store.commit([put(REMOVED_MANAGER, subject.id, RemovedManager(id=subject.id))])
        with pytest.raises(PermissionDenied, match="was removed"):
            authority.renew(subject, csr())

    run(scenario)


def test_the_certificate_of_etcd_is_renewed_by_half_of_its_life() -> None:
    async def scenario(_: Store, authority: CertificateAuthority, joins: ManagerJoins) -> None:
        made = await joins.join(await token_for(authority), csr(), csr(), ADDRESS)
        assert not certificates.needs_renewal(made.peer_certificate, datetime.fromtimestamp(NOW + 44 * 86400, UTC))
        assert certificates.needs_renewal(made.peer_certificate, datetime.fromtimestamp(NOW + 46 * 86400, UTC))

    run(scenario)
