"""Caches of builds in directories of this machine."""

import io
import tarfile
from pathlib import Path

import pytest

from cli.builds.local_caches import CacheWriter, take_local_caches
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.errors import InvalidInput


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            made.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_the_node_is_told_of_a_context_in_place_of_a_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.json").write_text("{}")
    start = BuildStart(
        cache_from=["team/web", f"type=local,src={tmp_path}", "type=local,src=/nonexistent"],
        cache_to=["type=inline", "type=local,dest=out,mode=max"],
    )
    found = take_local_caches(start)
    assert list(start.cache_from) == ["team/web", "type=local,context=local cache 0"]
    assert list(start.cache_to) == ["type=inline", "type=local,mode=max"]
    assert found.sources == {"local cache 0": tmp_path} and found.destination == Path("out")
    assert "--cache-from: /nonexistent has no cache" in capsys.readouterr().err


def test_one_directory_takes_the_cache() -> None:
    with pytest.raises(InvalidInput, match="only one directory"):
        take_local_caches(BuildStart(cache_to=["type=local,dest=a", "type=local,dest=b"]))


def test_a_cache_is_added_to_a_directory_and_its_index_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "cache"
    for index, digest in (("1", "a"), ("2", "b")):
        writer = CacheWriter(target)
        data = archive(**{"oci-layout": "{}", "index.json": index, f"blobs/sha256/{digest}": digest})
        writer.write(data[:700])
        writer.write(data[700:])
        writer.finish()
        writer.close()
    assert (target / "index.json").read_text() == "2"
    assert sorted(each.name for each in target.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert sorted(each.name for each in (target / "blobs/sha256").iterdir()) == ["a", "b"]


def test_a_build_that_exports_nothing_writes_nothing(tmp_path: Path) -> None:
    writer = CacheWriter(tmp_path / "cache")
    writer.finish()
    writer.close()
    assert not (tmp_path / "cache").exists()
