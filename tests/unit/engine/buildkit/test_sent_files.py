"""Files of fsutil's protocol as entries of contexts, and from archives of results."""

import io
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.buildkit.session.directory_index import DirectoryIndex
from engine.buildkit.session.known_files import Known, KnownFiles
from engine.buildkit.translation.sent_files import context_entry, has_content
from engine.buildkit.v1.fsutil_pb2 import Stat
from engine.protocol.go_modes import from_go_mode, to_go_mode
from engine.server.callers import ApiCaller
from shoal.errors import InvalidInput
from shoal.identity.roles import Role

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
    assert to_go_mode(stat.S_IFCHR | 0o600) == 0o600 | 1 << 26 | 1 << 21
    assert to_go_mode(0o644) == 0o644
    assert from_go_mode(1 << 19) is None


@given(
    PATHS,
    st.sampled_from((stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 62),
)
def test_entries_say_what_was_listed(path: str, kind: int, permissions: int, size: int, time_ns: int) -> None:
    sent = Stat(path=path, mode=to_go_mode(kind | permissions), size=size, mod_time=time_ns, uid=7, gid=8)
    if kind == stat.S_IFLNK:
        sent.linkname = "../target"
    entry = context_entry(sent)
    assert entry is not None
    assert (entry.path.decode(), entry.mode, entry.mtime) == (path, kind | permissions, time_ns // 10**9)
    assert entry.size == (size if kind == stat.S_IFREG else 0)
    assert (entry.link, entry.hard_link) == (b"../target" if kind == stat.S_IFLNK else b"", False)
    assert has_content(sent) == (kind == stat.S_IFREG and size > 0)


def test_a_regular_file_with_a_link_is_a_hard_link() -> None:
    entry = context_entry(Stat(path="a", mode=0o644, size=5, linkname="b/c"))
    assert entry is not None
    assert (entry.hard_link, entry.link, entry.size) == (True, b"b/c", 0)


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\0b"])
def test_paths_outside_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="invalid path"):
        context_entry(Stat(path=path, mode=0o644))
    with pytest.raises(InvalidInput, match="invalid path"):
        context_entry(Stat(path="a", mode=0o644, linkname=path or "/"))


INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@given(
    st.builds(
        Stat,
        path=st.text(st.characters(codec="utf-8"), max_size=300),
        linkname=st.text(st.characters(codec="utf-8"), max_size=300),
        mode=st.integers(0, (1 << 32) - 1),
        size=INT64,
        mod_time=INT64,
    )
)
def test_whatever_is_sent_is_an_entry_or_refused(sent: Stat) -> None:
    try:
        entry = context_entry(sent)
    except InvalidInput:
        return
    assert entry is None or entry.size >= 0


@pytest.mark.parametrize("kind", [stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR])
def test_other_kinds_have_no_entry(kind: int) -> None:
    assert context_entry(Stat(path="s", mode=to_go_mode(kind))) is None


def test_known_files_are_bounded_and_those_of_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.buildkit.session.known_files.MAX_FILES", 3)
    ada, bob = ApiCaller("ada", Role.ADMIN, is_local=False), ApiCaller("bob", Role.ADMIN, is_local=False)
    known: Known = {"a": ((1, 2, 3), b"d"), "b": ((1, 2, 3), b"d")}
    files = KnownFiles()
    files.keep(ada, "k", "context", known)
    assert files.find(ada, "k", "context") == known
    assert not files.find(bob, "k", "context")
    files.keep(ada, "", "context", known)
    assert not files.find(ada, "", "context")
    files.keep(ada, "other", "context", known)
    assert not files.find(ada, "k", "context")
    files.keep(ada, "large", "context", {str(number): ((1, 2, 3), b"d") for number in range(4)})
    assert not files.find(ada, "large", "context")


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
