"""The manager's own certificate and the admin's files, over a real authority."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.manager_identity import ManagerIdentity, write_admin, write_console, write_engine
from shoal.api.v1.cluster_pb2 import Manager
from shoal.identity.certificates import key_matches, new_key, subject_of
from shoal.identity.identity import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Identity
from shoal.identity.keyring import Keyring
from shoal.identity.roles import Role
from shoal.ids import new_id
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

DAY = 24 * 3600.0
BEGIN = 1_800_000_000.0
KEYRING = Keyring(bytes(32))


def test_the_id_outlives_restarts_and_renewals(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            now = BEGIN
            authority = CertificateAuthority(store=store, keyring=KEYRING, clock=lambda: now, new_id=new_id)
            await authority.bootstrap()

            def own() -> ManagerIdentity:
                return ManagerIdentity(authority=authority, directory=tmp_path, clock=lambda: now, new_id=new_id)

            first = own()
            assert own().current == first.current
            now += 50 * DAY
            renewed = own()
            assert renewed.manager_id == first.manager_id
            assert renewed.current.certificate != first.current.certificate
            assert renewed.current.key == first.current.key, "a crash between two files leaves a pair that fits"
            assert Identity.load(tmp_path) == renewed.current
            ends = [each.described(Manager(id="m")).certificate_expires_at_ms for each in (first, renewed)]
            assert BEGIN * 1000 < ends[0] < ends[1] == ends[0] + 50 * DAY * 1000

    asyncio.run(scenario())


def test_a_certificate_beside_another_key_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            authority = CertificateAuthority(store=store, keyring=KEYRING, clock=lambda: BEGIN, new_id=new_id)
            await authority.bootstrap()

            def own() -> ManagerIdentity:
                return ManagerIdentity(authority=authority, directory=tmp_path, clock=lambda: BEGIN, new_id=new_id)

            first = own()
            (tmp_path / "key.pem").write_bytes(new_key())
            second = own()
            assert second.manager_id == first.manager_id
            assert key_matches(second.current.certificate, second.current.key)
            write_admin(authority, tmp_path / "admin", "a:1", datetime.fromtimestamp(BEGIN, UTC))
            (tmp_path / "admin" / "key.pem").write_bytes(new_key())
            write_admin(authority, tmp_path / "admin", "a:1", datetime.fromtimestamp(BEGIN, UTC))
            admin = Identity.load(tmp_path / "admin")
            assert key_matches(admin.certificate, admin.key)

    asyncio.run(scenario())


def test_an_identity_of_another_cluster_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        seen = []
        for _ in range(2):
            async with loaded_store(MemoryEtcd()) as store:
                authority = CertificateAuthority(store=store, keyring=KEYRING, clock=lambda: BEGIN, new_id=new_id)
                await authority.bootstrap()
                own = ManagerIdentity(authority=authority, directory=tmp_path, clock=lambda: BEGIN, new_id=new_id)
                seen.append(own.manager_id)
        assert seen[0] != seen[1]

    asyncio.run(scenario())


@pytest.mark.parametrize("name", [CA_FILE, CERTIFICATE_FILE, KEY_FILE])
def test_admin_files_of_which_one_was_moved_away_are_written_again(tmp_path: Path, name: str) -> None:
    """The manager does not end for that."""

    async def scenario() -> None:
        now = datetime.fromtimestamp(BEGIN, UTC)
        async with loaded_store(MemoryEtcd()) as store:
            authority = CertificateAuthority(store=store, keyring=KEYRING, clock=lambda: BEGIN, new_id=new_id)
            await authority.bootstrap()
            write_admin(authority, tmp_path, "10.0.0.1:7440", now)
            (tmp_path / name).unlink()
            write_admin(authority, tmp_path, "10.0.0.1:7440", now)
            found = Identity.load(tmp_path)
            assert key_matches(found.certificate, found.key)
            assert found.ca == authority.cluster().ca_certificate

    asyncio.run(scenario())


def test_the_admin_files_are_kept_while_good(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            authority = CertificateAuthority(store=store, keyring=KEYRING, clock=lambda: BEGIN, new_id=new_id)
            await authority.bootstrap()
            now = datetime.fromtimestamp(BEGIN, UTC)
            write_admin(authority, tmp_path, "10.0.0.1:7440", now)
            first = Identity.load(tmp_path)
            write_admin(authority, tmp_path, "10.0.0.2:7440", now)
            assert Identity.load(tmp_path) == first
            assert (tmp_path / "address").read_text() == "10.0.0.2:7440\n"
            assert subject_of(first.certificate).role is Role.ADMIN
            assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
            write_engine(authority, tmp_path / "engine", "10.0.0.2:7440", now)
            assert subject_of(Identity.load(tmp_path / "engine").certificate).role is Role.ENGINE
            write_console(authority, tmp_path / "console", "10.0.0.2:7440", now)
            assert subject_of(Identity.load(tmp_path / "console").certificate).role is Role.CONSOLE

    asyncio.run(scenario())
