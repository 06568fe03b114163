"""Archives that are given to `load`, `import` and `image push` by people who mean harm."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from backports import zstd

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Platform
from shoal.errors import Exhausted, InvalidInput, NotFound
from shoal.images.archive import open_source, open_stream
from shoal.images.spool import SpoolLimits, spooled, uncompressed
from shoal.images.tar_import import ImportSettings, imported_image
from tests.integration.images.rig import entry, symlink, tar_of

LIMITS = SpoolLimits(max_bytes=32 << 20, reserve_bytes=0)
SETTINGS = ImportSettings(Platform("linux", "amd64"), datetime(2026, 1, 1, tzinfo=UTC))
ZEROS = bytes(1 << 20)


def docker_tar(path: Path, layer: str, *more: tuple[tarfile.TarInfo, bytes], copies: int = 1) -> Path:
    """A docker archive whose manifest names this file as its layer."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(b"")]}}).encode()
    listing = json.dumps([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": [layer]}] * copies).encode()
    path.write_bytes(tar_of([*more, entry("c.json", config), entry("manifest.json", listing)]))
    return path


@pytest.mark.parametrize("name", ["../secret", "/etc/shadow", "../../../../etc/shadow", "blobs/../../secret", "x\0y"])
def test_a_docker_archive_names_no_file_of_the_host(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(NotFound), open_source(docker_tar(tmp_path / "d.tar", name)):
        pass
    layout = tmp_path / "layout"
    layout.mkdir()
    with tarfile.open(tmp_path / "d.tar") as tar:
        tar.extractall(layout)
    with pytest.raises(NotFound), open_source(layout):
        pass


def test_links_do_not_lead_out_of_a_directory_or_an_archive(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for target in ("../secret", str(tmp_path / "secret"), "/etc/shadow"):
        with pytest.raises(NotFound), open_source(docker_tar(tmp_path / "d.tar", "l", symlink("l", target))):
            pass
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "manifest.json").write_text(json.dumps([{"Config": "l", "RepoTags": [], "Layers": ["l"]}]))
    (layout / "l").symlink_to("../secret")
    with pytest.raises(NotFound), open_source(layout):
        pass
    (layout / "l").unlink()
    (layout / "l").symlink_to("l")
    with pytest.raises(NotFound), open_source(layout):
        pass


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    loop = [symlink("a", "b"), symlink("b", "a"), symlink("self", "self")]
    for name in ("a", "self"):
        with pytest.raises(NotFound), open_source(docker_tar(tmp_path / "d.tar", name, *loop)):
            pass


def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    nodes = [entry("zero", kind=tarfile.CHRTYPE, device=(1, 5)), entry("pipe", kind=tarfile.FIFOTYPE)]
    for name in ("zero", "pipe"):
        with pytest.raises(NotFound), open_source(docker_tar(tmp_path / "d.tar", name, *nodes)):
            pass


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress, bz2.compress, lzma.compress])
def test_a_bomb_stops_at_the_bound_of_the_disk(tmp_path: Path, compress: object) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(compress(ZEROS) * 200)  # type: ignore[operator]  # frames after each other
    with pytest.raises(Exhausted, match="too large"), uncompressed(bomb, LIMITS):
        pass
    with pytest.raises(Exhausted, match="too large"), open_source(bomb, LIMITS):
        pass


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(zstd.compress(bytes(64 << 20)))
    tracemalloc.start()
    try:
        with uncompressed(bomb, SpoolLimits(reserve_bytes=0, directory=tmp_path)):
            pass
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_the_disk_keeps_its_reserve(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(ZEROS))
    with pytest.raises(Exhausted, match="TMPDIR"), uncompressed(bomb, SpoolLimits(reserve_bytes=1 << 60)):
        pass


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress, bz2.compress, lzma.compress])
def test_broken_compression_is_an_error_of_the_archive(compress: object) -> None:
    whole = compress(ZEROS)  # type: ignore[operator]
    for content in (whole[:-3], whole[: len(whole) // 2], whole[:10]):
        with pytest.raises(InvalidInput, match="corrupt"), spooled(io.BytesIO(content), "-", LIMITS):
            pass


def test_holes_of_sparse_files_are_not_made_up(tmp_path: Path) -> None:
    hole = entry("layer", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 60)})
    with pytest.raises(InvalidInput, match="sparse"), open_source(docker_tar(tmp_path / "d.tar", "layer", hole)):
        pass
    old = tarfile.TarInfo("layer")
    old.type, old.size = tarfile.GNUTYPE_SPARSE, 0
    (tmp_path / "old.tar").write_bytes(old.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(InvalidInput, match="sparse"), open_source(tmp_path / "old.tar"):
        pass


def test_a_size_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for size in (1 << 62, 10_000):
        member = tarfile.TarInfo("manifest.json")
        member.size = size
        (tmp_path / "d.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        with pytest.raises(InvalidInput, match="ends early"), open_source(tmp_path / "d.tar"):
            pass


def test_many_extended_headers_cost_nothing(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, body = tarfile.XHDTYPE, b"13 a=bcdefgh\n"
    header.size = len(body)
    block = header.tobuf(tarfile.USTAR_FORMAT) + body.ljust(512, b"\0")
    (tmp_path / "d.tar").write_bytes(block * 20_000 + tar_of([entry("a")]))
    started = time.process_time()
    with pytest.raises(InvalidInput, match=r"neither index\.json"), open_source(tmp_path / "d.tar"):
        pass
    assert time.process_time() - started < 20


def test_one_layer_named_many_times_is_read_once(tmp_path: Path) -> None:
    path = docker_tar(tmp_path / "d.tar", "layer", entry("layer", ZEROS * 8), copies=1000)
    started = time.process_time()
    with open_source(path) as source:
        assert len(source.images) == 1000
    assert time.process_time() - started < 20
    path = docker_tar(tmp_path / "d.tar", "layer", entry("layer"), copies=1001)
    with pytest.raises(InvalidInput, match="more than 1000 images"), open_source(path):
        pass


@pytest.mark.parametrize(
    "listing",
    [b"", b"{}", b"5", b"[5]", b'[{"Config": "c"}]', b"[" * 100_000, b'[{"Config": "\\ud800", "Layers": []}]', b"null"],
)
def test_a_manifest_of_any_shape_is_one_error(tmp_path: Path, listing: bytes) -> None:
    (tmp_path / "d.tar").write_bytes(tar_of([entry("manifest.json", listing)]))
    try:
        with open_source(tmp_path / "d.tar") as source:
            assert not source.images
    except (InvalidInput, NotFound) as error:
        assert str(error).encode()
        assert "\n" not in str(error)


def import_of(path: Path, content: bytes, settings: ImportSettings = SETTINGS) -> None:
    """Import a tar."""
    path.write_bytes(content)
    with path.open("rb") as file:
        imported_image(file, "root.tar", settings)


@pytest.mark.parametrize("name", ["../etc/passwd", "a/../../b", "..", "./../x"])
def test_an_import_does_not_lead_out_of_its_root(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="lead out of it"):
        import_of(tmp_path / "r.tar", tar_of([entry("etc/ok"), entry(name)]))


def test_an_import_makes_devices_only_where_it_may(tmp_path: Path) -> None:
    content = tar_of(
        [entry("dev/sda", kind=tarfile.BLKTYPE, device=(8, 0)), entry("dev/\x1b[2J", kind=tarfile.CHRTYPE)]
    )
    with pytest.raises(InvalidInput, match="has devices: 'dev/sda'") as caught:
        import_of(tmp_path / "r.tar", content)
    assert "\x1b" not in str(caught.value)
    allowed = ImportSettings(SETTINGS.platform, SETTINGS.created, allow_devices=True)
    import_of(tmp_path / "r.tar", content, allowed)


def test_an_import_of_no_archive_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hello", bytes(10240), b"\x7fELF" + bytes(600)):
        with pytest.raises(InvalidInput):
            import_of(tmp_path / "r.tar", content)


def test_a_stream_that_never_ends_stops_at_the_bound() -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            buffer[:] = bytes(len(buffer))
            return len(buffer)

    stream = io.BufferedReader(cast(io.FileIO, Endless()))
    with pytest.raises(Exhausted), open_stream(stream, "-", LIMITS):
        pass
