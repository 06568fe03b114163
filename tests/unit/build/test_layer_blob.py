"""Layers as files: compressed beside their digest, and what a full disk or a changed directory makes of that."""

import gzip
import hashlib
import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from agent.archives.disk_budget import DiskBudget
from agent.build.program.publication import gzip_packer as packers
from agent.build.program.publication.gzip_packer import gzip_packer
from agent.build.program.publication.layer_blob import BlobWriter, Compression, LayerBlob, write_blob
from agent.build.program.publication.layer_digest import layer_digest
from agent.images.layers.inflate_zstd import inflated_zstd
from shoal.errors import Exhausted, Unavailable


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    directory = tmp_path / "u"
    (directory / "etc").mkdir(parents=True)
    (directory / "etc" / "text").write_text("text\n" * 100_000)
    (directory / "noise").write_bytes(os.urandom(3 << 20))
    return directory


def budget(path: Path, reserve: int = 0) -> DiskBudget:
    return DiskBudget(os.open(path, os.O_PATH), reserve_bytes=reserve)


def blob_of(upper: Path, compression: Compression, name: str = "blob") -> tuple[LayerBlob, str]:
    with BlobWriter(upper.parent / name, compression, budget(upper)) as writer:
        diff_id, size = layer_digest(upper, None, threading.Event(), writer.write)
        blob = writer.finish()
    assert size > 3 << 20 and blob.descriptor.size == blob.path.stat().st_size
    assert blob.descriptor.digest == f"sha256:{hashlib.sha256(blob.path.read_bytes()).hexdigest()}"
    return blob, diff_id


@pytest.mark.parametrize("level", [0, 1, 3, 6, 9, 12])
def test_gzip_has_the_tar_of_the_digest(upper: Path, level: int) -> None:
    blob, diff_id = blob_of(upper, Compression("gzip", level))
    plain = gzip.decompress(blob.path.read_bytes())
    assert f"sha256:{hashlib.sha256(plain).hexdigest()}" == diff_id
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert sorted(tar.getnames()) == ["etc", "etc/text", "noise"]
    assert blob_of(upper, Compression("gzip", level), "again")[0].descriptor == blob.descriptor


def test_zstd_too(upper: Path) -> None:
    blob, diff_id = blob_of(upper, Compression("zstd"))
    with blob.path.open("rb") as file:
        plain = b"".join(inflated_zstd(io.BufferedReader(io.BytesIO(file.read()))))
    assert f"sha256:{hashlib.sha256(plain).hexdigest()}" == diff_id and blob.descriptor.media_type.endswith("+zstd")


def test_without_the_fast_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packers, "isal_zlib", None)
    packer = gzip_packer(1)
    assert gzip.decompress(packer.compress(b"x" * 1000) + packer.flush()) == b"x" * 1000


def test_a_disk_that_is_full_ends_it(upper: Path) -> None:
    full = budget(upper, 1 << 60)
    with pytest.raises(Exhausted), BlobWriter(upper.parent / "blob", Compression(), full) as writer:
        layer_digest(upper, None, threading.Event(), writer.write)
        writer.finish()
    with pytest.raises(FileExistsError), BlobWriter(upper / "noise", Compression(), budget(upper)) as writer:
        layer_digest(upper, None, threading.Event(), writer.write)
        writer.finish()


def test_what_is_stopped_or_left_leaves_no_thread(upper: Path) -> None:
    before, stop = threading.active_count(), threading.Event()
    stop.set()
    with pytest.raises(Unavailable), BlobWriter(upper.parent / "blob", Compression(), budget(upper)) as writer:
        layer_digest(upper, None, stop, writer.write)
    assert threading.active_count() == before


def test_a_layer_that_was_changed_since_is_refused(upper: Path) -> None:
    diff_id, _ = layer_digest(upper, None, threading.Event())
    write_blob(upper, diff_id, upper.parent / "one", Compression(), budget(upper), threading.Event())
    (upper / "noise").write_bytes(b"")
    with pytest.raises(Unavailable, match="was changed"):
        write_blob(upper, diff_id, upper.parent / "two", Compression(), budget(upper), threading.Event())
