"""`copy_tree` beside `cp -a`: the same trees, described entry by entry, from a directory and from an overlay."""

import os
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from agent.runtime.kernel.linux import mount, unmount
from agent.safe_paths.tree_copy import copy_tree
from shoal.errors import InvalidInput

HOLE = 64 << 20
ACL = "system.posix_acl_access"
_CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # linux/capability.h: version 2, CAP_NET_BIND_SERVICE
_ACL = struct.pack(
    "<I" + "HHI" * 5,
    2,
    *(0x01, 7, 0xFFFFFFFF, 0x02, 6, 1234, 0x04, 5, 0xFFFFFFFF, 0x10, 7, 0xFFFFFFFF, 0x20, 0, 0xFFFFFFFF),
)


def build(top: Path) -> None:
    """One of everything."""
    for name in ("a", "empty", "b/c", "b/c/d"):
        (top / name).mkdir(parents=True)
    names = ["file", "-rf", "new\nline", "ünïcode", b"not utf-8 \xff".decode(errors="surrogateescape"), "x" * 255]
    for number, name in enumerate(names):
        (top / "a" / name).write_bytes(os.urandom(number * 5000))
    (top / "a/link").symlink_to("../../../etc/passwd")
    (top / "a/broken").symlink_to("x/" * 1500)
    (top / "to").symlink_to("b", target_is_directory=True)
    os.link(top / "a/file", top / "b/c/hard")
    os.link(top / "a/file", top / "b/harder")
    os.link(top / "a/link", top / "b/hard link of a link", follow_symlinks=False)
    with (top / "holes").open("wb") as file:
        for place in (1 << 20, HOLE // 2):
            file.seek(place)
            file.write(os.urandom(5000))
        file.truncate(HOLE)
    os.mkfifo(top / "fifo", 0o620)
    os.mknod(top / "zero", stat.S_IFCHR | 0o606, os.makedev(1, 5))
    os.mknod(top / "disk", stat.S_IFBLK | 0o640, os.makedev(7, 250))
    with socket.socket(socket.AF_UNIX) as listening:
        at = os.getcwd()  # noqa: PTH109  # an address holds 107 bytes
        os.chdir(top)
        listening.bind("socket")
        os.chdir(at)
    own(top)


def own(top: Path) -> None:
    for number, path in enumerate(sorted(top.rglob("*"))):
        os.chown(path, 1000 + number, 2000 + number, follow_symlinks=False)
    (top / "a/file").chmod(0o4755)
    (top / "b").chmod(0o3711)
    (top / "empty").chmod(0)
    os.setxattr(top / "a/-rf", "security.capability", _CAPABILITY)
    os.setxattr(top / "a/-rf", "user.note", b"\0binary")
    os.setxattr(top / "b", "user.note", b"of a directory")
    os.setxattr(top / "fifo", "trusted.note", b"of a fifo")
    os.setxattr(top / "a/link", "trusted.note", b"of a link", follow_symlinks=False)
    os.setxattr(top / "a/ünïcode", ACL, _ACL)
    for number, path in enumerate(sorted(top.rglob("*"), reverse=True)):
        os.utime(path, ns=(10**18 + number, 10**17 + 123456789 + number), follow_symlinks=False)
    os.chown(top, 77, 78)
    top.chmod(0o2750)
    os.utime(top, ns=(5, 7))


def described(top: Path) -> dict[str, tuple[object, ...]]:
    """What can be seen of each entry, but for numbers of inodes, which say who is whose hard link."""
    entries = sorted([top, *top.rglob("*")])
    first: dict[tuple[int, int], str] = {}
    found: dict[str, tuple[object, ...]] = {}
    for path in entries:
        status, name = path.lstat(), str(path.relative_to(top))
        content: object = str(path.readlink()) if path.is_symlink() else ""
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False)
            for key in sorted(os.listxattr(path, follow_symlinks=False))
            if not key.startswith("trusted.overlay.")
        }
        same = first.setdefault((status.st_dev, status.st_ino), name)
        owner, links = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev), status.st_nlink
        is_directory = stat.S_ISDIR(status.st_mode)
        found[name] = (owner, status.st_mtime_ns, content, attributes, same, None if is_directory else links)
    return found


def copied(source: Path, target: Path, *, durable: bool = False) -> Path:
    target.mkdir(mode=0o700)
    descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    try:
        copy_tree(*descriptors, durable=durable)
    finally:
        for each in descriptors:
            os.close(each)
    return target


@contextmanager
def overlaid(directory: Path, lower: Path) -> Iterator[Path]:
    places = [directory / name for name in ("upper", "work", "merged")]
    for place in places:
        place.mkdir()
    mount("overlay", str(places[2]), "overlay", 0, f"lowerdir={lower},upperdir={places[0]},workdir={places[1]}")
    try:
        yield places[2]
    finally:
        unmount(places[2])


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("is_overlay", [False, True])
def test_everything_is_as_cp_copies_it(tmp_path: Path, is_overlay: bool, durable: bool) -> None:
    plain = tmp_path / "layer/data"
    plain.mkdir(parents=True)
    build(plain)
    expected = tmp_path / "expected"
    expected.mkdir()
    subprocess.run(["cp", "-a", "--", f"{plain}/.", str(expected)], check=True)
    if is_overlay:
        with overlaid(tmp_path, plain.parent) as merged:
            made = copied(merged / plain.name, tmp_path / "made", durable=durable)
    else:
        made = copied(plain, tmp_path / "made", durable=durable)
    assert described(made) == described(expected) == described(plain)
    assert (made / "holes").stat().st_blocks * 512 < HOLE // 8


def test_there_is_an_end_to_the_names_that_are_held(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for directory in ("a", "b", "c/d", "c/e"):
        (source / directory).mkdir(parents=True)
    for number, is_enough in ((4, True), (2, False)):
        (target / str(number)).mkdir(parents=True)
        descriptors = [os.open(each, os.O_RDONLY | os.O_DIRECTORY) for each in (source, target / str(number))]
        try:
            with nullcontext() if is_enough else pytest.raises(InvalidInput, match="the maximum is 2"):
                copy_tree(*descriptors, max_pending=number)
        finally:
            for each in descriptors:
                os.close(each)
    assert (target / "4/c/d").is_dir()
