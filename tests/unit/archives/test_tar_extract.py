"""Archives unpacked below a container's root: what fits, and what a hostile one tries."""

import ctypes
import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.archives import disk_budget
from agent.archives.disk_budget import DiskBudget
from agent.archives.tar_extract import ExtractOptions, extract
from shoal.errors import Exhausted, InvalidInput, NotFound, PermissionDenied, Refused

Entry = tuple[str, bytes, dict[str, object], bytes]


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object) -> Entry:
    return name, kind, fields, data


def tar_of(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, fields, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mode = kind, len(data), 0o644
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def unpack(
    root: Path, path: str, content: bytes, options: ExtractOptions | None = None, *, reserve_bytes: int = 0
) -> None:
    read: Callable[[int], bytes] = io.BytesIO(content).read
    with opened(root) as descriptor:
        disk = os.open(root, os.O_RDONLY)
        try:
            extract(descriptor, path, read, options or ExtractOptions(), DiskBudget(disk, reserve_bytes=reserve_bytes))
        finally:
            os.close(disk)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "srv").mkdir(parents=True)
    (made / "etc").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return made


def test_files_directories_and_links_with_their_metadata(root: Path) -> None:
    content = tar_of(
        entry("dir/", tarfile.DIRTYPE, mode=0o750, uid=1000, gid=1001, mtime=900_000_000),
        entry("dir/file", data=b"hello" * 1000, mode=0o4755, uid=7, gid=8, mtime=1_000_000_000),
        entry("dir/link", tarfile.SYMTYPE, linkname="/etc", uid=5, gid=6),
        entry("dir/again", tarfile.LNKTYPE, linkname="dir/file"),
        entry("dir/pipe", tarfile.FIFOTYPE, mode=0o600, uid=3, gid=4),
        entry("made/on/the/way", data=b"1"),
    )
    unpack(root, "/srv", content)
    made = root / "srv/dir"
    assert stat.S_IMODE(made.stat().st_mode) == 0o750 and (made.stat().st_uid, made.stat().st_gid) == (1000, 1001)
    assert made.stat().st_mtime == 900_000_000, "though it was written into afterwards"
    status = (made / "file").stat()
    assert (made / "file").read_bytes() == b"hello" * 1000
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4755, 7, 8)
    assert status.st_mtime == 1_000_000_000 and status.st_nlink == 2
    assert (made / "link").readlink() == Path("/etc") and (made / "link").lstat().st_uid == 5
    assert stat.S_ISFIFO((made / "pipe").stat().st_mode) and (made / "pipe").stat().st_uid == 3
    assert (root / "srv/made/on/the/way").read_bytes() == b"1"


def test_links_of_the_container_are_followed_inside_of_it(root: Path, tmp_path: Path) -> None:
    (root / "srv/absolute").symlink_to("/etc")
    (root / "srv/up").symlink_to("../../../../etc")
    (root / "via").symlink_to("/srv")
    unpack(root, "/via", tar_of(entry("absolute/one", data=b"1"), entry("up/two", data=b"2")))
    assert sorted(each.name for each in (root / "etc").iterdir()) == ["one", "two"]
    assert sorted(each.name for each in (tmp_path / "outside").iterdir()) == ["secret"]


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../escaped", data=b"x")],
        [entry("a/../../escaped", data=b"x")],
        [entry("link", tarfile.SYMTYPE, linkname="../../outside"), entry("link/escaped", data=b"x")],
        [entry("link", tarfile.SYMTYPE, linkname="/../../outside"), entry("link/escaped", data=b"x")],
        [entry("hard", tarfile.LNKTYPE, linkname="../../outside/secret")],
        [
            entry("link", tarfile.SYMTYPE, linkname="../../outside"),
            entry("hard", tarfile.LNKTYPE, linkname="link/secret"),
        ],
        [entry("out", tarfile.SYMTYPE, linkname="../../outside/secret"), entry("out", data=b"overwritten")],
    ],
)
def test_nothing_leaves_the_root(root: Path, tmp_path: Path, entries: list[Entry]) -> None:
    with suppress(InvalidInput, NotFound):
        unpack(root, "/srv", tar_of(*entries))
    assert not (tmp_path / "escaped").exists()
    assert [each.name for each in (tmp_path / "outside").iterdir()] == ["secret"]
    assert (tmp_path / "outside/secret").read_text() == "secret"
    assert (tmp_path / "outside/secret").stat().st_nlink == 1


def test_devices_are_made_only_if_that_is_asked(root: Path) -> None:
    null = entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    with pytest.raises(PermissionDenied, match="'null' is a device"):
        unpack(root, "/srv", tar_of(null))
    assert not (root / "srv/null").exists()
    unpack(root, "/srv", tar_of(null), ExtractOptions(devices=True))
    assert (root / "srv/null").stat().st_rdev == os.makedev(1, 3)
    with pytest.raises(InvalidInput, match="invalid device number 0:0"):
        unpack(root, "/srv", tar_of(entry("gone", tarfile.CHRTYPE)), ExtractOptions(devices=True))


def test_what_is_there_is_replaced_unless_kinds_are_kept(root: Path) -> None:
    (root / "srv/dir/inner").mkdir(parents=True)
    (root / "srv/file").write_text("old")
    over = [entry("dir", data=b"now a file")], [entry("file/", tarfile.DIRTYPE, mode=0o755)]
    for entries in over:
        with pytest.raises(InvalidInput, match="of this name"):
            unpack(root, "/srv", tar_of(*entries), ExtractOptions(keep_kinds=True))
    assert (root / "srv/dir/inner").is_dir() and (root / "srv/file").read_text() == "old"
    for entries in over:
        unpack(root, "/srv", tar_of(*entries))
    assert (root / "srv/dir").read_bytes() == b"now a file" and (root / "srv/file").is_dir()
    (root / "srv/open").write_text("old")
    with (root / "srv/open").open() as before:
        unpack(root, "/srv", tar_of(entry("open", data=b"new")))
        assert before.read() == "old", "those who have it open keep what they have"


def test_owners_are_the_archives_or_one(root: Path) -> None:
    content = tar_of(entry("file", uid=12, gid=13), entry("link", tarfile.SYMTYPE, linkname="x", uid=14, gid=15))
    unpack(root, "/srv", content, ExtractOptions(owner=(1000, 1001)))
    for name in ("file", "link"):
        status = (root / "srv" / name).lstat()
        assert (status.st_uid, status.st_gid) == (1000, 1001)
    with pytest.raises(InvalidInput, match="invalid owner"):
        unpack(root, "/srv", tar_of(entry("file", uid=2**32 - 1)))


def test_the_disk_is_not_filled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs(root)
    with pytest.raises(Exhausted, match="not enough disk space"):
        unpack(root, "/srv", tar_of(entry("file", data=b"x" * 1000)), reserve_bytes=1 << 60)
    monkeypatch.setattr(disk_budget, "_INODE_RESERVE", 1)
    monkeypatch.setattr(disk_budget, "MAX_ENTRIES_PER_CHECK", 1)
    if free.f_files:
        with pytest.raises(Exhausted, match="inodes"):
            unpack(root, "/srv", tar_of(entry("file2")))


@pytest.mark.parametrize("path", ["relative", "/no/such", "/srv/file", "/a\0b", "/" + "x" * 5000])
def test_paths_that_are_none(root: Path, path: str) -> None:
    (root / "srv/file").write_text("")
    with pytest.raises((InvalidInput, NotFound)):
        unpack(root, path, tar_of(entry("file")))


@pytest.mark.parametrize("content", [b"x" * 512, b"x" * 1000, tar_of(entry("a", data=b"1" * 5000))[:2000]])
def test_archives_that_are_none(root: Path, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="archive"):
        unpack(root, "/srv", content)


def test_file_systems_of_the_kernel_are_not_touched() -> None:
    with opened(Path("/")) as descriptor:
        disk = os.open("/tmp", os.O_RDONLY)  # of the host: nothing is written
        for path in ("/proc/sys/kernel", "/sys"):
            with pytest.raises(Refused, match="file system of the kernel"):
                extract(descriptor, path, io.BytesIO(tar_of(entry("x"))).read, ExtractOptions(), DiskBudget(disk))
        os.close(disk)


def test_deep_paths(root: Path) -> None:
    deep = "/".join("d" * 10 for _ in range(300)) + "/file"
    unpack(root, "/srv", tar_of(entry(deep, data=b"deep")))
    assert (root / "srv" / deep).read_bytes() == b"deep"


def test_a_container_that_swaps_names_meanwhile_gets_nothing_outside(root: Path, tmp_path: Path) -> None:
    """A directory becomes a link and back, as fast as it goes, while archives are unpacked through it."""
    outside, ends = tmp_path / "outside", threading.Event()
    (root / "srv/dir").mkdir()
    (root / "evil").symlink_to(outside)

    def swap() -> None:
        libc, here, exchange = ctypes.CDLL(None), -100, 2  # renameat2(2): AT_FDCWD, RENAME_EXCHANGE
        while not ends.is_set():
            libc.renameat2(here, os.fsencode(root / "srv/dir"), here, os.fsencode(root / "evil"), exchange)

    content = tar_of(
        entry("dir/one", data=b"1"), entry("dir/sub/two", data=b"2"), entry("dir/sub/l", tarfile.SYMTYPE, linkname="x")
    )
    swapping = threading.Thread(target=swap)
    swapping.start()
    written = 0
    try:
        for _ in range(400):
            with suppress(InvalidInput, NotFound):
                unpack(root, "/srv", content)
                written += 1
    finally:
        ends.set()
        swapping.join()
    assert [each.name for each in outside.iterdir()] == ["secret"]
    assert written
