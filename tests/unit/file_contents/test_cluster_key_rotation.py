"""The leader seals anew when every manager has the new key, and only then; nothing is lost on the way."""

import asyncio

import pytest

from manager.certificate_authority import cluster_record
from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.controllers.cluster_key_rotation import managers_without_key, reencrypted_records
from manager.file_contents.content_codec import EncryptedCodec
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
            before = EncryptedCodec(Keyring(OLD))
            secret = File(encrypted_data_key=before.new_data_key("s"), version="1")
            secret.meta.id = "s"
            content = FileVersion(file_id="s", version="1", content=before.encode(secret, "1", b"hunter2"))
            await store.commit([put(kinds.SECRET, "s", secret), put(kinds.SECRET_VERSION, "s/1", content)])
            rotating = Keyring(NEW, OLD)
            for identifier, key in (("m1", rotating), ("m2", Keyring(OLD))):
                manager = Manager(id=identifier, api_address=identifier, key_id=key.key_id)
                await store.commit([put(kinds.MANAGER, identifier, manager)])
            assert managers_without_key(store.tables, rotating) == ["m2"]
            await store.commit([put(kinds.MANAGER, "m2", Manager(id="m2", key_id=rotating.key_id))])
            assert managers_without_key(store.tables, rotating) == []
            steps = list(reencrypted_records(store.tables, rotating))
            assert [write.kind.name for write, _ in steps] == ["cluster", "secret"]
            for write, unchanged in steps:
                await store.commit([write], expects=[unchanged])
            assert not list(reencrypted_records(store.tables, rotating)), "it is done once"
            after = EncryptedCodec(Keyring(NEW))
            assert after.decode(store.tables.secrets["s"], store.tables.secret_versions["s/1"]) == b"hunter2"
            cluster = authority(store, Keyring(NEW)).cluster()
            assert cluster_record.token_key(cluster, Keyring(NEW)) == cluster_record.token_key(cluster, rotating)
            with pytest.raises(InvalidInput):
                cluster_record.decrypt_authority(cluster, Keyring(OLD))

    asyncio.run(scenario())
