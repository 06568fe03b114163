"""The copy of etcd's data, which may be gigabytes, when etcd responds before it is made."""

import asyncio
from pathlib import Path

import pytest

from manager.etcd import data_copy
from manager.etcd.data_copy import DIRECTORY, read_copy
from manager.etcd.server import EtcdServer
from tests.polling import until


def test_nothing_is_left_of_a_copy_that_is_not_needed_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_copy, "CHUNK_BYTES", 1)  # so that it takes long
    for name in ("snap", "wal"):
        (tmp_path / "etcd" / "data" / name).mkdir(parents=True)
        (tmp_path / "etcd" / "data" / name / "file").write_bytes(bytes(32 << 20))
    copy = tmp_path / DIRECTORY

    async def scenario() -> None:
        reading = asyncio.ensure_future(read_copy(EtcdServer(tmp_path)))
        await until(lambda: [*copy.rglob("file")])
        reading.cancel()
        await asyncio.wait((reading,))
        assert reading.cancelled()
        assert not copy.exists()

    asyncio.run(scenario())  # which waits for all threads
    assert not copy.exists()
