"""The authority over the store: founding, races, joining, rotation, renewal."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from manager.certificate_authority import cluster_record
from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.store import kinds
from manager.store.changes import delete
from manager.store.store import Store
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.errors import InvalidInput, PermissionDenied, Unauthenticated, Unavailable
from shoal.identity import certificates, join_token
from shoal.identity.keyring import Keyring
from shoal.identity.roles import CertificateSubject, Role
from shoal.ids import new_id
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

KEY = bytes(range(32))
NOW = 1_800_000_000.0


def _authority(store: Store, key: bytes = KEY) -> CertificateAuthority:
    return CertificateAuthority(store=store, keyring=Keyring(key), clock=lambda: NOW, new_id=new_id)


@asynccontextmanager
async def _founded() -> AsyncGenerator[tuple[Store, CertificateAuthority]]:
    async with loaded_store(MemoryEtcd()) as store:
        authority = _authority(store)
        await authority.bootstrap()
        yield store, authority


def _run(scenario: Callable[[Store, CertificateAuthority], Awaitable[None]]) -> None:
    async def run() -> None:
        async with _founded() as (store, authority):
            await scenario(store, authority)

    asyncio.run(run())


async def _token(authority: CertificateAuthority) -> str:
    token, _ = await authority.tokens.create()
    return token


def _csr() -> bytes:
    return certificates.request(certificates.new_key())


def test_bootstrap_is_done_once() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        first, (token, _) = authority.cluster(), await authority.tokens.create()
        assert await _authority(store).bootstrap() == first
        authority.tokens.check(token)
        assert (first.meta.created_at_ms, len(first.meta.id)) == (int(NOW * 1000), 13)

    _run(scenario)


def test_managers_that_race_found_one_cluster() -> None:
    async def run() -> None:
        etcd = MemoryEtcd()
        async with loaded_store(etcd) as one, loaded_store(etcd) as two:
            clusters = await asyncio.gather(_authority(one).bootstrap(), _authority(two).bootstrap())
            assert clusters[0].meta.id == clusters[1].meta.id
            token, record = await _authority(one).tokens.create()
            await two.reached(one.version_of(kinds.JOIN_TOKEN, record.meta.id))
            assert _authority(two).tokens.check(token).meta.id == record.meta.id

    asyncio.run(run())


def test_a_manager_with_another_cluster_key_does_not_start() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        with pytest.raises(InvalidInput, match="the key of another cluster"):
            await _authority(store, KEY[::-1]).bootstrap()

    _run(scenario)


def test_before_the_record_is_loaded_the_authority_is_away() -> None:
    async def run() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            with pytest.raises(Unavailable):
                _authority(store).cluster()

    asyncio.run(run())


def test_nothing_secret_lies_open_in_the_record() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        token, record = await authority.tokens.create()
        stored = authority.cluster().SerializeToString() + record.SerializeToString()
        key = cluster_record.decrypt_authority(authority.cluster(), Keyring(KEY)).key
        assert certificates.key_to_der(key) not in stored
        assert join_token.parse(token).secret.encode() not in stored
        assert cluster_record.token_key(authority.cluster(), Keyring(KEY)) not in stored

    _run(scenario)


def test_managers_and_admins_get_identities_of_the_cluster() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        cluster = authority.cluster()
        for identity, caller in (
            (authority.issue_manager("m1"), CertificateSubject("m1", Role.MANAGER, cluster.meta.id)),
            (authority.issue_admin("root"), CertificateSubject("root", Role.ADMIN, cluster.meta.id)),
        ):
            assert certificates.subject_of(identity.certificate) == caller
            assert identity.ca == cluster.ca_certificate
            assert certificates.is_signed_by(identity.certificate, identity.ca)

    _run(scenario)


def test_a_node_is_admitted_active_and_named_in_its_certificate() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        node = await authority.join(await _token(authority), _csr(), "h1")
        stored = store.tables.nodes[node.node_id]
        assert stored.spec.availability == NodeSpec.ACTIVE
        assert stored.meta.created_at_ms == int(NOW * 1000)
        assert certificates.subject_of(node.certificate) == CertificateSubject(
            node.node_id, Role.AGENT, node.cluster_id
        )

    _run(scenario)


def test_a_bad_request_makes_no_node() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        with pytest.raises(InvalidInput):
            await authority.join(await _token(authority), b"nonsense", "h1")
        assert not store.tables.nodes

    _run(scenario)


def test_a_token_that_is_none_or_of_another_cluster_is_told() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        with pytest.raises(Unauthenticated, match="invalid join token"):
            authority.tokens.check("hello")
        with pytest.raises(Unauthenticated, match="belongs to another cluster"):
            authority.tokens.check(f"SHOAL-1-{'a' * 52}-{'0' * 25}")

    _run(scenario)


def test_renewal_keeps_the_name_and_needs_the_node() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        node = await authority.join(await _token(authority), _csr(), "h1")
        caller = certificates.subject_of(node.certificate)
        renewed = authority.renew(caller, _csr())
        assert certificates.subject_of(renewed) == caller
        assert certificates.expires_at(renewed) > datetime.fromtimestamp(NOW, UTC)
        await store.commit([delete(kinds.NODE, node.node_id)])
        with pytest.raises(PermissionDenied, match="removed"):
            authority.renew(caller, _csr())

    _run(scenario)


def test_renewal_is_for_this_cluster() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        with pytest.raises(PermissionDenied, match="another cluster"):
            authority.renew(CertificateSubject("root", Role.ADMIN, "elsewhere"), _csr())

    _run(scenario)


def test_a_reissued_identity_keeps_its_key() -> None:
    async def scenario(store: Store, authority: CertificateAuthority) -> None:
        first = authority.issue_manager("m1")
        second = authority.reissue(first)
        assert second.certificate != first.certificate
        assert (second.key, second.ca) == (first.key, first.ca)
        assert certificates.subject_of(second.certificate) == certificates.subject_of(first.certificate)
        assert certificates.key_matches(second.certificate, second.key)
        assert not certificates.key_matches(second.certificate, authority.issue_manager("m1").key)

    _run(scenario)
