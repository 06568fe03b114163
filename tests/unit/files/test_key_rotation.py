"""The leader seals anew when every manager has the new key, and only then; nothing is lost on the way."""

import asyncio

import pytest

from manager.certificate_authority import records
from manager.certificate_authority.authority import CertificateAuthority
from manager.files.contents import SealedContents
from manager.key_rotation import managers_behind, rewraps
from manager.store import kinds
from manager.store.changes import put
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.file_pb2 import File, FileVersion
from shoal.errors import InvalidInput
from shoal.identity.keyring import Keyring
from shoal.ids import new_id
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def authority(store: Store, keyring: Keyring) -> CertificateAuthority:
    return CertificateAuthority(store=store, keyring=keyring, clock=lambda: 1_800_000_000.0, new_id=new_id)


def test_all_managers_first_then_everything() -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            await authority(store, Keyring(OLD)).bootstrap()
            before = SealedContents(Keyring(OLD))
            secret = File(sealed_data_key=before.new_data_key("s"), version="1")
            secret.meta.id = "s"
            content = FileVersion(file_id="s", version="1", content=before.closed(secret, "1", b"hunter2"))
            await store.commit([put(kinds.SECRET, "s", secret), put(kinds.SECRET_VERSION, "s/1", content)])
            rotating = Keyring(NEW, OLD)
            for identifier, key in (("m1", rotating), ("m2", Keyring(OLD))):
                manager = Manager(id=identifier, api_address=identifier, key_id=key.key_id)
                await store.commit([put(kinds.MANAGER, identifier, manager)])
            assert managers_behind(store.tables, rotating) == ["m2"]
            await store.commit([put(kinds.MANAGER, "m2", Manager(id="m2", key_id=rotating.key_id))])
            assert managers_behind(store.tables, rotating) == []
            steps = list(rewraps(store.tables, rotating))
            assert [write.kind.name for write, _ in steps] == ["cluster", "secret"]
            for write, unchanged in steps:
                await store.commit([write], expects=[unchanged])
            assert not list(rewraps(store.tables, rotating)), "it is done once"
            after = SealedContents(Keyring(NEW))
            assert after.opened(store.tables.secrets["s"], store.tables.secret_versions["s/1"]) == b"hunter2"
            cluster = authority(store, Keyring(NEW)).cluster()
            assert records.token_key(cluster, Keyring(NEW)) == records.token_key(cluster, rotating)
            with pytest.raises(InvalidInput):
                records.open_authority(cluster, Keyring(OLD))

    asyncio.run(scenario())
