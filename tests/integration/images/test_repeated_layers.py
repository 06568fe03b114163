"""A layer that an image has several times is mounted once, and shows what it would show each time."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.runtime.rootfs.overlay_mount import mount_overlay
from tests.integration.images.rig import Entry, directory, entry, layer_of, unpack_layer


@contextmanager
def seen(layers: Sequence[Path], scratch: Path) -> Iterator[Path]:
    """As a container sees them: the topmost first."""
    for name in ("root", "upper/u", "upper/w"):
        (scratch / name).mkdir(parents=True)
    mount_overlay(layers, scratch / "upper", scratch / "root")
    try:
        yield scratch / "root"
    finally:
        subprocess.run(["umount", str(scratch / "root")], check=True)


def listing(root: Path) -> list[tuple[str, int, bytes]]:
    """All that can be looked up. The kernel leaves the name of a whiteout in the listing of a directory that is in one
    layer alone, though nothing can be done with it."""
    return sorted(
        (str(path.relative_to(root)), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
        if os.path.lexists(path)
    )


def test_a_layer_may_be_there_several_times(tmp_path: Path) -> None:
    empty = unpack_layer(layer_of(), tmp_path, "empty")
    low = unpack_layer(layer_of(entry("file", b"low"), entry("other", b"low")), tmp_path, "low")
    high = unpack_layer(layer_of(entry("file", b"high"), entry(".wh.other")), tmp_path, "high")
    with seen([empty, low, empty, high, low, empty], tmp_path / "seen") as root:
        assert (root / "file").read_bytes() == (root / "other").read_bytes() == b"low", "the topmost one covers"


@st.composite
def contents(draw: st.DrawFn) -> list[Entry]:
    """Of a layer: at each of a few names a file, a directory with such names, a whiteout, or nothing."""
    found: list[Entry] = []
    for name in ("a", "b"):
        kind = draw(st.sampled_from(["nothing", "file", "directory", "opaque", "whiteout"]))
        if kind == "file":
            found.append(entry(name, draw(st.sampled_from([b"1", b"2"]))))
        elif kind == "whiteout":
            found.append(entry(f".wh.{name}"))
        elif kind != "nothing":
            found.append(directory(name, draw(st.sampled_from([0o755, 0o700]))))
            found += [entry(f"{name}/.wh..wh..opq")] if kind == "opaque" else []
            inner = draw(st.lists(st.sampled_from(["x", "y", ".wh.x", ".wh.y"]), unique_by=lambda each: each[-1]))
            found += [entry(f"{name}/{each}", b"inner") for each in inner]
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(contents(), min_size=3, max_size=3), st.lists(st.integers(0, 2), min_size=2, max_size=6))
def test_it_shows_what_copies_of_it_would_show(layers: list[list[Entry]], order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory_name:
        scratch = Path(directory_name)
        packed = [layer_of(*entries) for entries in layers]
        once = [unpack_layer(layer, scratch, f"layer{place}") for place, layer in enumerate(packed)]
        copies = [unpack_layer(packed[which], scratch, f"copy{place}") for place, which in enumerate(order)]
        with seen([once[which] for which in order], scratch / "1") as root, seen(copies, scratch / "2") as expected:
            assert listing(root) == listing(expected)
