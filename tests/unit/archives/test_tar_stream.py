"""Files of a root as a tar archive: what tar reads back, and what is left out."""

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.archives.lookup import find
from agent.archives.tar_stream import archive, archive_layer, archive_root
from shoal.errors import InvalidInput, NotFound, Refused


def read(chunks: Iterable[bytes]) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return {info.name: info for info in tar.getmembers()}


def _is_name(name: bytes) -> bool:
    return not any(each in name for each in (b"/", b"\0")) and name not in (b".", b"..") and name[:4] != b".wh."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "dir/sub").mkdir(parents=True)
    (made / "dir/file").write_bytes(b"hello" * 300_000)
    os.link(made / "dir/file", made / "dir/other")
    (made / "dir/sub/umlaut-\udcff").write_bytes(b"1")
    (made / "dir/link").symlink_to("/etc/passwd")
    (made / "dir/outside").symlink_to("../../..")
    os.mkfifo(made / "dir/pipe")
    os.mknod(made / "dir/null", 0o20666, os.makedev(1, 3))
    os.chown(made / "dir/sub", 1000, 1001)
    os.utime(made / "dir/file", ns=(0, 1_500_000_000_123_456_789))
    return made


def archive_of(root: Path, path: str, *, follow: bool = False) -> dict[str, tarfile.TarInfo]:
    descriptor = os.open(root, os.O_PATH)
    try:
        found = find(descriptor, path, follow=follow)
        try:
            return read(archive(found))
        finally:
            os.close(found.descriptor)
    finally:
        os.close(descriptor)


def test_a_directory_with_all_kinds(root: Path) -> None:
    found = archive_of(root, "/dir/")
    names = ["dir", "dir/file", "dir/link", "dir/null", "dir/other", "dir/outside", "dir/pipe", "dir/sub"]
    assert sorted(found) == [*names, "dir/sub/umlaut-\udcff"]
    assert found["dir/file"].size == 1_500_000 and found["dir/other"].linkname == "dir/file"
    assert found["dir/file"].pax_headers["mtime"] == "1500000000.123456789"
    assert found["dir/link"].linkname == "/etc/passwd" and found["dir/link"].issym()
    assert found["dir/pipe"].isfifo() and found["dir/null"].ischr()
    assert (found["dir/null"].devmajor, found["dir/null"].devminor) == (1, 3)
    assert (found["dir/sub"].uid, found["dir/sub"].gid) == (1000, 1001)


def test_one_file_and_links(root: Path) -> None:
    assert list(archive_of(root, "/dir/file")) == ["file"]
    assert archive_of(root, "/dir/link")["link"].issym()
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("of the container")
    assert archive_of(root, "/dir/link", follow=True)["link"].size == len("of the container")
    assert "./dir/file" in archive_of(root, "/dir/outside", follow=True) or "outside/dir/file" in archive_of(
        root, "/dir/outside", follow=True
    ), "the root, and not what is above it"
    with pytest.raises(NotFound):
        archive_of(root, "/dir/none")


def test_a_file_that_shrinks_while_it_is_read(root: Path) -> None:
    descriptor = os.open(root, os.O_PATH)
    found = find(descriptor, "/dir", follow=False)
    chunks, pieces = archive(found), []
    pieces.append(next(chunks))
    (root / "dir/file").write_bytes(b"")
    pieces += list(chunks)
    os.close(found.descriptor)
    os.close(descriptor)
    assert "dir/sub" in read(pieces)


def test_the_whole_root(root: Path) -> None:
    descriptor = os.open(root, os.O_PATH)
    try:
        assert sorted(read(archive_root(descriptor)))[:3] == ["dir", "dir/file", "dir/link"]
    finally:
        os.close(descriptor)


def test_file_systems_of_the_kernel_are_empty() -> None:
    descriptor = os.open("/", os.O_PATH)
    try:
        for path in ("/proc/version", "/proc/self/root/etc/passwd", "/sys/kernel"):
            with pytest.raises((Refused, NotFound, ValueError, Exception), match=r"kernel|cannot open"):
                find(descriptor, path, follow=True)
    finally:
        os.close(descriptor)


def test_a_layer_says_what_is_gone(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "opaque/inner").mkdir(parents=True)
    os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    (upper / "plain").mkdir()
    os.mknod(upper / "gone", 0o20000, 0)
    os.mknod(upper / "plain/gone", 0o20000, 0)
    descriptor = os.open(upper, os.O_PATH)
    try:
        found = read(archive_layer(descriptor))
        names = [".wh.gone", "opaque", "opaque/.wh..wh..opq", "opaque/inner", "plain", "plain/.wh.gone"]
        assert sorted(found) == names
        assert found[".wh.gone"].isreg() and found[".wh.gone"].size == 0
        (upper / "plain/.wh.own").write_text("")
        with pytest.raises(InvalidInput, match=r"'/plain/\.wh\.own': a layer cannot have names"):
            read(archive_layer(descriptor))
    finally:
        os.close(descriptor)


STATUS_BITS = st.integers(0, 0o7777)
WHOLE_SECONDS = st.integers(0, 1 << 31).map(lambda seconds: seconds * 1_000_000_000)
TIMES = st.one_of(st.integers(-(1 << 40), 1 << 62), WHOLE_SECONDS)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.binary(min_size=1, max_size=120).filter(_is_name), min_size=1, max_size=3),
            st.binary(max_size=1500),
            STATUS_BITS,
            TIMES,
            st.sampled_from(["file", "directory", "link", "hard", "fifo"]),
        ),
        max_size=6,
    )
)
def test_a_layer_at_rest_is_the_same_archive_and_tar_reads_it(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[list[bytes], bytes, int, int, str]]
) -> None:
    root = tmp_path_factory.mktemp("layer")
    for names, content, mode, time, kind in files:
        path = root.joinpath(*map(os.fsdecode, names))
        if os.path.lexists(path) or any(os.path.lexists(each) and not each.is_dir() for each in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, kind, content, mode)
        os.utime(path, ns=(time, time), follow_symlinks=False)
    descriptor = os.open(root, os.O_PATH)
    try:
        fast, careful = (b"".join(archive_layer(descriptor, at_rest=at_rest)) for at_rest in (True, False))
    finally:
        os.close(descriptor)
    assert fast == careful
    with tarfile.open(fileobj=io.BytesIO(fast)) as tar:
        for info in tar:
            status = root.joinpath(info.name).lstat()
            assert info.mode == status.st_mode & 0o7777 and (info.uid, info.gid) == (status.st_uid, status.st_gid)
            seconds, fraction = divmod(status.st_mtime_ns, 1_000_000_000)
            assert int(info.mtime // 1) == seconds or info.pax_headers["mtime"] == f"{seconds}.{fraction:09d}"
            if info.isreg():
                opened = tar.extractfile(info)
                assert opened is not None and opened.read() == root.joinpath(info.name).read_bytes()


def _make(path: Path, kind: str, content: bytes, mode: int) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(os.fsdecode(content.replace(b"\0", b"0")[:300] or b"x"))
        return
    elif kind == "hard" and (first := next((each for each in path.parent.iterdir() if each.is_file()), None)):
        os.link(first, path, follow_symlinks=False)
        return
    else:
        path.write_bytes(content)
    path.chmod(mode)
