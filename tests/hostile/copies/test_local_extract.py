"""Archives of a hostile container, unpacked on the machine of whoever copies: nothing outside of the target changes."""

import io
import os
import stat
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.file_copies.copy_paths import Placement
from cli.file_copies.local_extract import LocalExtraction
from shoal.errors import InvalidInput, PermissionDenied, ShoalError

Entry = tuple[str, bytes, str, bytes]


def archive_of(*entries: Entry, mode: int = 0o644) -> bytes:
    """Entries of name, type, link and content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mode = kind, link, len(content), mode
            info.devmajor, info.devminor = 1, 3
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def regular(name: str, content: bytes = b"evil") -> Entry:
    return name, tarfile.REGTYPE, "", content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    return name, kind, target, b""


def extract(target: Path, content: bytes, new_name: str = "") -> None:
    extraction = LocalExtraction(Placement(str(target), "d", new_name), keep_owner=False)
    extraction.run(io.BytesIO(content).read)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory, beside which there is something to hit."""
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.mark.parametrize(
    "entries",
    [
        [regular("../outside")],
        [regular("d/../../outside")],
        [link("d", ".."), regular("d/outside")],
        [link("d", "/"), regular("d/tmp/shoal-evil")],
        [("d", tarfile.DIRTYPE, "", b""), link("d/l", "../.."), regular("d/l/outside")],
        [link("d", "../outside", tarfile.LNKTYPE), regular("d")],
        [link("l", "../outside"), link("d", "l/x", tarfile.LNKTYPE)],
        [("d", tarfile.CHRTYPE, "", b"")],
        [("d", tarfile.BLKTYPE, "", b"")],
        [("d", b"Z", "", b"")],
        [link("d", "", tarfile.LNKTYPE)],
    ],
)
def test_nothing_outside_is_touched(target: Path, entries: list[Entry]) -> None:
    with pytest.raises((InvalidInput, PermissionDenied, OSError)):
        extract(target, archive_of(*entries))
    assert (target.parent / "outside").read_text() == "mine"
    assert (target.parent / "outside").stat().st_nlink == 1
    assert not Path("/tmp/shoal-evil").exists()


def test_a_link_is_replaced_and_not_written_through(target: Path) -> None:
    extract(target, archive_of(link("d", "../outside"), regular("d", b"new")))
    assert (target / "d").read_bytes() == b"new" and not (target / "d").is_symlink()
    (target / "e").symlink_to("../outside")
    extract(target, archive_of(regular("e", b"new")))
    assert (target.parent / "outside").read_text() == "mine"
    (target / "f").symlink_to("..")
    for entry in (regular("f/outside"), ("f", tarfile.DIRTYPE, "", b""), ("f/made", tarfile.DIRTYPE, "", b"")):
        with pytest.raises(InvalidInput):
            extract(target, archive_of(entry))
    assert (target.parent / "outside").read_text() == "mine"
    assert {each.name for each in target.parent.iterdir()} == {"outside", "target"}


def test_absolute_names_are_below_the_target(target: Path) -> None:
    extract(target, archive_of(regular(f"{target.parent}/outside")))
    assert (target.parent / "outside").read_text() == "mine"
    assert (target / str(target.parent)[1:] / "outside").read_bytes() == b"evil"


def test_programs_do_not_run_as_the_caller(target: Path) -> None:
    extract(target, archive_of(regular("d"), ("e", tarfile.DIRTYPE, "", b""), mode=0o7777))
    for name in "de":
        assert not (target / name).stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
        assert (target / name).stat().st_uid == os.getuid()


def test_a_link_that_replaces_a_directory_in_the_archive_gets_no_mode(target: Path) -> None:
    """Modes of directories are set at the end, when the name may mean something else."""
    content = archive_of(("a", tarfile.DIRTYPE, "", b""), ("a/d", tarfile.DIRTYPE, "", b""), mode=0o700)
    before = (target.parent / "outside").stat().st_mode

    stream = io.BytesIO(content)

    def swap_at_the_end(size: int) -> bytes:
        block = stream.read(size)
        if block == bytes(512) and (target / "a/d").is_dir():
            (target / "a/d").rmdir()
            (target / "a/d").symlink_to("../../outside")
        return block

    with pytest.raises(OSError, match=r"directory|symbolic"):
        LocalExtraction(Placement(str(target), "d"), keep_owner=False).run(swap_at_the_end)
    assert (target.parent / "outside").stat().st_mode == before


def test_a_truncated_archive_is_an_error(target: Path) -> None:
    content = archive_of(regular("d", bytes(100_000)))
    for size in (700, 50_000):
        with pytest.raises(InvalidInput, match="the archive is not a valid tar archive"):
            extract(target, content[:size])


def test_headers_have_a_bound(target: Path) -> None:
    with pytest.raises(InvalidInput, match="too large"):
        extract(target, archive_of(regular("d" + "x" * 3_000_000)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.sampled_from(["d", "d/a", "d/a/b", "../outside", "d/..", ".", "/", "d/a/../../..", "l", "l/x", "l/outside"]),
        min_size=1, max_size=6,
    ),
    kinds=st.lists(
        st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]),
        min_size=6, max_size=6,
    ),
    links=st.lists(st.sampled_from(["..", "../outside", "/", "d", "l", "d/a", "../.."]), min_size=6, max_size=6),
    flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3),
    new_name=st.sampled_from(["", "new", "."]),
)  # fmt: skip
def test_no_archive_leaves_the_target(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[str],
    kinds: list[bytes],
    links: list[str],
    flips: list[tuple[int, int]],
    new_name: str,
) -> None:
    place = tmp_path_factory.mktemp("hostile")
    (place / "outside").write_text("mine")
    (place / "target").mkdir()
    entries = [
        (name, kind, to, b"evil" if kind == tarfile.REGTYPE else b"")
        for name, kind, to in zip(names, kinds, links, strict=False)
    ]
    content = bytearray(archive_of(*entries))
    for at, value in flips:
        content[at % len(content)] = value
    with suppress(ShoalError, OSError):
        extract(place / "target", bytes(content), new_name)
    assert {each.name for each in place.iterdir()} == {"outside", "target"}
    status = (place / "outside").stat()
    assert (place / "outside").read_text() == "mine" and status.st_nlink == 1
