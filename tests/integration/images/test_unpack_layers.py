"""Layers unpacked on a real file system: what they hold, what hides, what must not get out."""

import os
import stat
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.images.pack import PackedLayer
from shoal.distribution.digests import digest_of
from shoal.errors import InvalidInput
from shoal.tree_removal import delete_trees
from tests.integration.images.rig import Entry, directory, entry, layer_of, symlink, tar_of, unpack_layer

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, linux/capability.h


@contextmanager
def mounted(lowers: list[Path], at: Path) -> Iterator[Path]:
    """Layers as a container sees them: the topmost first."""
    at.mkdir()
    options = "lowerdir=" + ":".join(str(each) for each in lowers)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"ro,{options}", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def test_metadata_is_kept(tmp_path: Path) -> None:
    layer = layer_of(
        directory("bin", 0o1777),
        entry("bin/su", b"program", mode=0o4755, owner=(1000, 1001), mtime=1234567890.5),
        entry("bin/ping", b"p", pax={"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}),
        entry("bin/same", kind=tarfile.LNKTYPE, link="bin/su"),
        symlink("bin/away", "/etc/passwd"),
        entry("null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
        entry("pipe", kind=tarfile.FIFOTYPE, mode=0o600),
        entry("d/" + "long/" * 60 + "n" * 200, b"deep"),
    )
    root = unpack_layer(layer, tmp_path)
    su = (root / "bin/su").stat()
    assert (stat.S_IMODE(su.st_mode), su.st_uid, su.st_gid, su.st_mtime) == (0o4755, 1000, 1001, 1234567890.5)
    assert stat.S_IMODE((root / "bin").stat().st_mode) == 0o1777
    assert (root / "bin").stat().st_mtime == 0
    assert (root / "bin/same").stat().st_ino == su.st_ino
    assert str((root / "bin/away").readlink()) == "/etc/passwd"
    null = (root / "null").stat()
    assert stat.S_ISCHR(null.st_mode) and null.st_rdev == os.makedev(1, 3) and stat.S_IMODE(null.st_mode) == 0o666
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)
    assert (root / "d" / ("long/" * 60) / ("n" * 200)).read_bytes() == b"deep"
    assert os.getxattr(root / "bin/ping", "security.capability")[:8] == CAPABILITY[:8]


def test_a_deep_directory_may_be_replaced(tmp_path: Path) -> None:
    deep = "d/" * 1500 + "file"
    root = unpack_layer(layer_of(entry(f"top/{deep}", b"1"), entry("top", b"2"), entry(deep, b"3")), tmp_path)
    try:
        assert (root / "top").read_bytes() == b"2"
        assert (root / deep).read_bytes() == b"3"
    finally:
        delete_trees(root)


def test_attributes_of_overlayfs_are_not_taken(tmp_path: Path) -> None:
    pax = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.opaque": "y"}
    root = unpack_layer(layer_of(entry("d", kind=tarfile.DIRTYPE, mode=0o755, pax=pax)), tmp_path)
    assert not [name for name in os.listxattr(root / "d") if "overlay" in name]


def test_whiteouts_and_opaque_directories_hide_across_layers(tmp_path: Path) -> None:
    lower = layer_of(
        directory("a"), entry("a/gone", b"1"), entry("a/stays", b"1"), directory("b"), entry("b/hidden", b"1"),
        directory("c"), entry("c/old", b"1"), directory("d"), entry("d/old", b"1"), entry("f", b"1"),
    )  # fmt: skip
    upper = layer_of(
        directory("a"), entry("a/.wh.gone"), directory("b"), entry("b/.wh..wh..opq"), entry("b/new", b"2"),
        entry(".wh.c"), directory("c"), entry("c/new", b"2"),
        directory("d"), entry("d/new", b"2"), entry(".wh.d"),
        entry("f", b"2"), entry(".wh.f"), entry(".wh..wh.plnk", b""),
    )  # fmt: skip
    layers = [unpack_layer(upper, tmp_path, "upper"), unpack_layer(lower, tmp_path, "lower")]
    with mounted(layers, tmp_path / "merged") as merged:
        names = sorted(str(path.relative_to(merged)) for path in merged.rglob("*"))
        assert names == ["a", "a/stays", "b", "b/new", "c", "c/new", "d", "d/new", "f"]
        assert (merged / "f").read_bytes() == b"2"


def test_links_are_followed_inside_the_layer_only(tmp_path: Path) -> None:
    layer = layer_of(
        directory("usr"),
        symlink("lib", "/usr"),
        symlink("up", "../../../.."),
        entry("lib/a", b"a"),
        entry("up/b", b"b"),
    )
    root = unpack_layer(layer, tmp_path)
    assert (root / "usr/a").read_bytes() == b"a"
    assert (root / "b").read_bytes() == b"b"


HOSTILE: dict[str, list[Entry]] = {
    "dot dot": [entry("../evil", b"x")],
    "dot dot inside": [entry("a/../../evil", b"x")],
    "absolute dot dot": [entry("/../evil", b"x")],
    "hard link out": [entry("x", kind=tarfile.LNKTYPE, link="../victim")],
    "hard link to nothing": [entry("x", kind=tarfile.LNKTYPE, link="etc/shadow")],
    "hard link through a link": [symlink("out", "/"), entry("x", kind=tarfile.LNKTYPE, link="out/victim")],
    "link loop": [symlink("a", "b"), symlink("b", "a"), entry("a/x", b"x")],
    "whiteout without a name": [entry(".wh.")],
    "whiteout of dot dot": [entry(".wh...")],
    "file as directory": [entry("a", b"x"), entry("a/b", b"x")],
    "name too long": [entry("n" * 256, b"x")],
    "root as a file": [entry("./", b"x")],
    "sparse": [entry("s", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 15})],
    "owner that is none": [entry("o", b"", pax={"uid": "-5"})],
    "device as directory": [entry("n", kind=tarfile.CHRTYPE, device=(1, 3)), entry("n/x", b"")],
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_layers_are_refused(tmp_path: Path, case: str) -> None:
    (tmp_path / "victim").write_text("untouched")
    with pytest.raises(InvalidInput):
        unpack_layer(layer_of(*HOSTILE[case]), tmp_path)
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (tmp_path / "evil").exists()


def test_a_link_that_points_out_does_not_lead_there(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    layer = layer_of(
        symlink("out", str(victim)), entry("out/evil", b"x"), entry("out/.wh.y"), entry("out/.wh..wh..opq")
    )
    root = unpack_layer(layer, tmp_path)
    assert not list(victim.iterdir())
    assert (root / str(victim).lstrip("/") / "evil").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"\x28\xb5\x2f\xfd" + b"\0" * 64, "layer is truncated"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"garbage" * 10, "compressed data is corrupt"),
        (layer_of(entry("a", os.urandom(5000))).blob[:-2000], "layer is truncated"),
        (b"no tar at all" * 100, "not a valid tar archive"),
        (tar_of([entry("a", b"x" * 5000)])[:2048], "not a valid tar archive"),
    ],
)
def test_broken_layers_are_refused(tmp_path: Path, blob: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        unpack_layer(PackedLayer(blob, "sha256:" + "0" * 64), tmp_path)


def test_another_content_than_the_configuration_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="layer digest mismatch"):
        unpack_layer(PackedLayer(layer_of(entry("a", b"x")).blob, "sha256:" + "0" * 64), tmp_path)


def test_an_extended_header_cannot_fill_the_memory(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="extended header"):
        unpack_layer(layer_of(entry("a", b"x", pax={"SCHILY.xattr.user.big": "x" * (2 << 20)})), tmp_path)


SAMPLE = tar_of(
    [directory("d"), entry("d/f", b"x" * 600, pax={"SCHILY.xattr.user.a": "b"}), symlink("l", "d"), entry("l/g", b"y")]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_damage_is_reported_as_such(damage: list[tuple[int, bytes]]) -> None:
    content = bytearray(SAMPLE)
    for at, replacement in damage:
        content[at : at + len(replacement)] = replacement
    for at in range(0, len(content) - 512, 512):  # headers with right checksums get further
        if content[at + 257 : at + 262] == b"ustar":
            content[at + 148 : at + 156] = b" " * 8
            content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    with tempfile.TemporaryDirectory() as scratch, suppress(InvalidInput):
        unpack_layer(PackedLayer(bytes(content), digest_of(bytes(content))), Path(scratch))


_name = st.lists(
    st.sampled_from(["a", "b", "c", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq", "victim"]), min_size=1, max_size=4
).map("/".join)
_kind = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
_entries = st.lists(
    st.builds(lambda name, kind, link: entry(name, kind=kind, link=link, mode=0o755), _name, _kind, _name), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(_entries)
def test_no_sequence_of_entries_gets_out(entries: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        outside = Path(scratch, "victim")
        outside.mkdir()
        Path(outside, "a").write_text("untouched")
        before = sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_mode) for path in outside.rglob("*"))
        with suppress(InvalidInput):
            unpack_layer(layer_of(*entries), Path(scratch))
        after = sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_mode) for path in outside.rglob("*"))
        assert after == before
        assert sorted(path.name for path in Path(scratch).iterdir()) == [
            "layer",
            "layer.blob",
            "layer.discarded",
            "victim",
        ]
        assert not os.listxattr(outside)
