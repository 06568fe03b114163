"""What a manager gives out on its own host: kept while good, made anew when not."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from manager.certificate_authority.authority import CertificateAuthority
from manager.certificate_authority.own_identities import manager_identity, write_admin
from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.identity.roles import Role
from shoal.ids import new_id
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd


async def _founded(scenario: Callable[[CertificateAuthority], None]) -> None:
    async with loaded_store(MemoryEtcd()) as store:
        authority = CertificateAuthority(store=store, cluster_key=bytes(32), clock=time.time, new_id=new_id)
        await authority.bootstrap()
        scenario(authority)


def _now() -> datetime:
    return datetime.now(UTC)


def test_a_managers_identity_outlives_its_restart(tmp_path: Path) -> None:
    def scenario(authority: CertificateAuthority) -> None:
        first = manager_identity(authority, "m1", directory=tmp_path, clock=_now).current()
        assert certificates.caller_of(first.certificate).role is Role.MANAGER
        assert manager_identity(authority, "m1", directory=tmp_path, clock=_now).current() == first
        assert manager_identity(authority, "m2", directory=tmp_path, clock=_now).current() != first

    asyncio.run(_founded(scenario))


@pytest.mark.parametrize("file", ["key.pem", "cert.pem", "ca.pem"])
def test_an_identity_with_a_damaged_file_is_made_anew(tmp_path: Path, file: str) -> None:
    def scenario(authority: CertificateAuthority) -> None:
        first = manager_identity(authority, "m1", directory=tmp_path, clock=_now).current()
        (tmp_path / file).write_bytes(b"damaged")
        second = manager_identity(authority, "m1", directory=tmp_path, clock=_now).current()
        assert second != first
        assert certificates.fits(second.certificate, second.key)
        assert Identity.load(tmp_path) == second

    asyncio.run(_founded(scenario))


def test_an_identity_of_a_cluster_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    found: list[Identity] = []

    def scenario(authority: CertificateAuthority) -> None:
        found.append(manager_identity(authority, "m1", directory=tmp_path, clock=_now).current())

    asyncio.run(_founded(scenario))
    asyncio.run(_founded(scenario))
    assert found[0].ca != found[1].ca


def test_the_keeper_renews_with_the_same_key(tmp_path: Path) -> None:
    def later() -> datetime:
        return _now() + timedelta(days=days)

    days = 0

    async def whole() -> None:
        nonlocal days
        async with loaded_store(MemoryEtcd()) as store:
            authority = CertificateAuthority(
                store=store, cluster_key=bytes(32), clock=lambda: later().timestamp(), new_id=new_id
            )
            await authority.bootstrap()
            keeper = manager_identity(authority, "m1", directory=tmp_path, clock=later)
            first, days = keeper.current(), 50
            await keeper.keep()
            assert keeper.current().certificate != first.certificate
            assert keeper.current().key == first.key

    asyncio.run(whole())


def test_the_admin_finds_an_identity_and_the_address(tmp_path: Path) -> None:
    def scenario(authority: CertificateAuthority) -> None:
        write_admin(authority, "m1:7440", directory=tmp_path, now=_now())
        first = Identity.load(tmp_path)
        assert certificates.caller_of(first.certificate).role is Role.ADMIN
        write_admin(authority, "m1:7441", directory=tmp_path, now=_now())
        assert Identity.load(tmp_path) == first
        assert (tmp_path / "address").read_text() == "m1:7441\n"
        write_admin(authority, "m1:7441", directory=tmp_path, now=_now() + timedelta(days=200))
        assert Identity.load(tmp_path) != first

    asyncio.run(_founded(scenario))
