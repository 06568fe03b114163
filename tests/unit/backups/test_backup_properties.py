"""Whatever records there are: a backup that is restored has each of them, byte for byte."""

import asyncio
import io
from datetime import UTC, datetime

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.backups.export import NOT_IN_BACKUPS, BackupExporter, exported
from manager.backups.restoration import Restoration
from manager.certificate_authority.cluster_record import new_cluster
from manager.store.backend import Put, prefix_end
from manager.store.kinds import CLUSTER, EPOCH, KINDS, ROOT, Kind
from shoal.identity.authority import Authority
from shoal.identity.keyring import Keyring
from tests.fakes.any_message import any_message
from tests.fakes.memory_etcd import MemoryEtcd

KEYRING = Keyring(bytes(range(32)))
CLUSTER_RECORD = new_cluster(
    "c1", Authority.create("c1", datetime.now(UTC)), keyring=KEYRING, now_ms=1
).SerializeToString()
STORED = [kind for kind in KINDS if kind is not CLUSTER]


def records() -> st.SearchStrategy[dict[bytes, bytes]]:
    def of_kind(kind: Kind[Message]) -> st.SearchStrategy[tuple[bytes, bytes]]:
        is_one = not kind.prefix.endswith("/")
        identifiers = st.just("") if is_one else st.text("0123456789abcdefghijk", min_size=1, max_size=13)
        values = st.integers(0, 1 << 32).map(lambda seed: any_message(kind.message, seed).SerializeToString())
        return st.tuples(identifiers.map(kind.key), values)

    return st.lists(st.sampled_from(STORED).flatmap(of_kind), max_size=30).map(dict)


def is_kept(key: bytes) -> bool:
    return not any(kind.name in NOT_IN_BACKUPS and kind.identifier(key) is not None for kind in KINDS)


@settings(max_examples=25, deadline=None)
@given(records())
def test_every_record_comes_back(made: dict[bytes, bytes]) -> None:
    async def scenario() -> None:
        full, empty = MemoryEtcd(), MemoryEtcd()
        everything = {**made, CLUSTER.key(""): CLUSTER_RECORD}
        await full.txn((), [Put(key, value) for key, value in everything.items()])
        export = await BackupExporter(full, KEYRING, lambda: 1, "0.1.0").export()
        file = io.BytesIO(b"".join([part.data async for part in exported(export)]))
        how = Restoration(keyring=KEYRING, now_ms=lambda: 1, forget_managers=False)
        await how.write(empty, file, how.check(file))
        after = {each.key: each.value for each in (await empty.range(ROOT.encode(), prefix_end(ROOT.encode()))).records}
        epochs = [key for key in after if EPOCH.identifier(key) is not None]
        assert len(epochs) == 1
        del after[epochs[0]]
        assert after == {key: value for key, value in everything.items() if is_kept(key)}

    asyncio.run(scenario())
