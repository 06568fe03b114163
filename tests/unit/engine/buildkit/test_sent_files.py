"""Files of fsutil's protocol as entries of archives, and back."""

import io
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.buildkit.session.directory_index import DirectoryIndex
from engine.buildkit.translation.go_modes import from_go_mode, to_go_mode
from engine.buildkit.translation.sent_files import archive_header, has_content
from engine.buildkit.v1.fsutil_pb2 import Stat
from shoal.errors import InvalidInput

KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=120).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(st.sampled_from(KINDS), st.integers(0, 0o7777))
def test_modes_are_the_same_there_and_back(kind: int, permissions: int) -> None:
    assert from_go_mode(to_go_mode(kind | permissions)) == kind | permissions


def test_modes_are_those_of_go() -> None:
    assert to_go_mode(stat.S_IFDIR | 0o755) == 0o755 | 1 << 31
    assert to_go_mode(stat.S_IFREG | 0o4711) == 0o711 | 1 << 23
    assert to_go_mode(stat.S_IFDIR | 0o1777) == 0o777 | 1 << 31 | 1 << 20
    assert to_go_mode(stat.S_IFLNK | 0o777) == 0o777 | 1 << 27
    assert from_go_mode(1 << 19) is None


@given(
    PATHS,
    st.sampled_from((stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 40),
    st.integers(-(1 << 62), (1 << 62)),
    st.dictionaries(st.sampled_from(("user.a", "security.capability")), st.binary(max_size=20), max_size=2),
)
def test_headers_say_what_was_sent(
    path: str, kind: int, permissions: int, size: int, time_ns: int, attributes: dict[str, bytes]
) -> None:
    sent = Stat(path=path, mode=to_go_mode(kind | permissions), size=size, mod_time=time_ns, uid=7, gid=8)
    sent.xattrs.update(attributes)
    if kind == stat.S_IFLNK:
        sent.linkname = "../target"
    content = bytes(0)
    archive = tarfile.open(fileobj=io.BytesIO(archive_header(sent) + content + bytes(1024)))  # noqa: SIM115
    with archive:
        member = archive.next()
    assert member is not None
    assert (member.name, member.mode, member.uid, member.gid) == (path, permissions, 0, 0)
    assert member.mtime == max(0, time_ns // 10**9)
    assert member.size == (size if kind == stat.S_IFREG else 0)
    assert (member.isreg(), member.isdir(), member.issym()) == tuple(
        kind == each for each in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    )
    assert {
        key.removeprefix("SCHILY.xattr."): value for key, value in member.pax_headers.items() if "xattr" in key
    } == {key: value.decode("utf-8", "surrogateescape") for key, value in attributes.items()}
    assert has_content(sent) == (kind == stat.S_IFREG and size > 0)


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\0b"])
def test_paths_outside_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="invalid path"):
        archive_header(Stat(path=path, mode=0o644))
    with pytest.raises(InvalidInput, match="invalid path"):
        archive_header(Stat(path="a", mode=0o644, linkname=path or "/"))


INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@given(
    st.builds(
        Stat,
        path=st.text(st.characters(codec="utf-8"), max_size=300),
        linkname=st.text(st.characters(codec="utf-8"), max_size=300),
        mode=st.integers(0, (1 << 32) - 1),
        size=INT64,
        mod_time=INT64,
        devmajor=INT64,
        devminor=INT64,
    )
)
def test_whatever_is_sent_is_a_header_or_refused(sent: Stat) -> None:
    try:
        header = archive_header(sent)
    except InvalidInput:
        return
    assert len(header) % 512 == 0


def test_sockets_have_no_entry() -> None:
    assert archive_header(Stat(path="s", mode=to_go_mode(stat.S_IFSOCK))) == b""


@given(st.dictionaries(PATHS, st.binary(max_size=100), max_size=8))
def test_an_index_has_every_file_in_the_order_of_the_protocol(files: dict[str, bytes]) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o640
            archive.addfile(member, io.BytesIO(content))
    index = DirectoryIndex.read(data)
    paths = [each.stat.path for each in index.files]
    assert paths == sorted((each.strip("/") for each in files), key=lambda each: each.split("/"))
    for each in index.files:
        data.seek(each.offset)
        assert data.read(each.stat.size) == files[each.stat.path]


def test_hard_links_refer_to_what_comes_before() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        first = tarfile.TarInfo("m")
        first.size = 3
        archive.addfile(first, io.BytesIO(b"abc"))
        for name in ("a", "z"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.LNKTYPE, "m"
            archive.addfile(link)
    files = {each.stat.path: each for each in DirectoryIndex.read(data).files}
    assert (files["a"].stat.linkname, files["a"].stat.size) == ("", 3)
    assert files["a"].offset == files["m"].offset
    assert files["z"].stat.linkname == "m"
