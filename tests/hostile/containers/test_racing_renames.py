"""Somebody swaps directories for symbolic links while the agent copies, deletes or measures what they are in.

Bounds: nothing outside is read, deleted or counted; each call ends, with a result or a clear error.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.safe_paths.descent import Descent, DirectoryMoved
from agent.safe_paths.disk_usage import disk_usage
from agent.safe_paths.system_calls import open_beneath, open_in_root, rename_no_replace
from agent.safe_paths.tree_copy import copy_tree
from shoal.errors import Unavailable
from shoal.tree_removal import delete_beneath, delete_trees
from tests.fakes.deep_tree import DEPTH, deep_tree
from tests.hostile.containers.disks import memory_disk
from tests.hostile.containers.swapping import exchange, swapped

OUTSIDE = 8 << 20
ROUNDS = 40


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def outside(directory: Path) -> Path:
    """What is none of the container's business."""
    victim = directory / "victim"
    (victim / "inner").mkdir(parents=True)
    (victim / "inner/secret").write_bytes(os.urandom(OUTSIDE))
    return victim


def tree(top: Path) -> Path:
    """With directories under the names that the victim has."""
    for number in range(20):
        (top / f"swapped/inner/{number}").mkdir(parents=True)
        (top / f"swapped/inner/{number}/file").write_bytes(b"x" * 100)
    return top


def test_a_copy_has_nothing_from_outside(tmp_path: Path) -> None:
    victim, source = outside(tmp_path), tree(tmp_path / "source")
    copied = 0
    with swapped(source, "swapped", victim) as count, opened(source) as source_fd:
        for number in range(ROUNDS):
            target = tmp_path / f"copy{number}"
            target.mkdir()
            with opened(target) as target_fd, suppress(OSError):
                copy_tree(source_fd, target_fd)
                copied += 1
    assert count[0] > ROUNDS and copied
    assert list(tmp_path.glob("copy*/**/secret")) == []


def test_deleting_takes_nothing_from_outside(tmp_path: Path) -> None:
    victim = outside(tmp_path)
    for number in range(ROUNDS):
        top = tree(tmp_path / f"top{number}/held")
        with swapped(top, "swapped", victim), opened(top.parent) as parent, suppress(Unavailable):
            delete_beneath(parent, "held")
        delete_trees(top.parent)
        assert not top.parent.exists()
    assert (victim / "inner/secret").stat().st_size == OUTSIDE


def test_measuring_counts_nothing_from_outside(tmp_path: Path) -> None:
    victim, top = outside(tmp_path), tree(tmp_path / "top")
    (top / "own").write_bytes(b"x" * 5000)  # on tmpfs, where /tmp may be, directories take no blocks
    with swapped(top, "swapped", victim) as count, opened(top) as held:
        for _ in range(ROUNDS):
            assert 0 < disk_usage(held) < OUTSIDE
    assert count[0] > ROUNDS


def test_measuring_agrees_with_du_where_nothing_moves(tmp_path: Path) -> None:
    top = tree(tmp_path / "top")
    os.link(top / "swapped/inner/1/file", top / "linked")
    (top / "hole").touch()
    os.truncate(top / "hole", 1 << 30)
    reported = subprocess.run(["du", "-sx", "--block-size=1", str(top)], capture_output=True, check=True).stdout
    with opened(top) as held:
        assert disk_usage(held) == int(reported.split()[0])


def test_measuring_goes_to_any_depth(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "disk") as disk, deep_tree(disk / "deep") as deep, opened(deep) as held:
        before = disk_usage(held)
        at = os.open(deep, os.O_RDONLY | os.O_DIRECTORY)
        for _ in range(DEPTH):
            inner = os.open("dd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
        with os.fdopen(os.open("large", os.O_WRONLY | os.O_CREAT, dir_fd=at), "wb") as file:
            file.write(b"x" * (1 << 20))
        os.close(at)
        assert disk_usage(held) == before + (1 << 20)


def test_measuring_ends_when_its_time_is_over(tmp_path: Path) -> None:
    with opened(tree(tmp_path / "top")) as held, pytest.raises(Unavailable, match="in time"):
        disk_usage(held, seconds=-1.0)


def test_a_directory_that_is_moved_away_is_not_left_to_elsewhere(tmp_path: Path) -> None:
    """The way up from a directory leads to where it was come from, or nowhere."""
    at = tmp_path / "top"
    for _ in range(80):
        at /= "d"
    at.mkdir(parents=True)
    with opened(tmp_path / "top") as top:
        descent = Descent(top)
        try:
            for _ in range(80):
                descent.enter("d")
            outermost = tmp_path / "top/d/d"
            (outermost / "d").rename(tmp_path / "elsewhere")
            with pytest.raises(DirectoryMoved):
                for _ in range(80):
                    descent.leave()
        finally:
            descent.close()


OPENERS: list[Callable[[int, str, int], int]] = [open_beneath, open_in_root]


@pytest.mark.parametrize("opener", OPENERS)
def test_opening_leads_nowhere_else_whatever_is_swapped(tmp_path: Path, opener: Callable[[int, str, int], int]) -> None:
    victim, top = outside(tmp_path), tmp_path / "top"
    (top / "swapped/inner").mkdir(parents=True)
    (top / "swapped/inner/secret").write_text("ours")
    found = refused = 0
    with swapped(top, "swapped", victim), opened(top) as held:
        while min(found, refused) < ROUNDS:
            try:
                descriptor = opener(held, "swapped/inner/secret", os.O_RDONLY)
            except OSError:
                refused += 1
                continue
            with os.fdopen(descriptor) as file:
                assert file.read() == "ours"
            found += 1


def test_links_of_proc_to_files_of_processes_lead_nowhere() -> None:
    with opened(Path("/proc")) as proc:
        for opener in OPENERS:
            for path in ("self/root/etc/passwd", "self/cwd", "self/fd/0", "self/ns/mnt"):
                with pytest.raises(OSError):
                    os.close(opener(proc, f"{os.getpid()}/{path.removeprefix('self/')}", os.O_PATH))


def test_moving_in_replaces_nothing_and_leads_into_no_link(tmp_path: Path) -> None:
    for name in ("from", "into", "victim"):
        (tmp_path / name).mkdir()
    victim, names = tmp_path / "victim", [str(number) for number in range(2000)]
    for name in names:
        (tmp_path / "from" / name).write_text("ours")
    (tmp_path / "into/0").symlink_to(victim / "made")
    done = threading.Event()

    def plant() -> None:
        while not done.is_set():
            for name in names:
                with suppress(FileExistsError):
                    (tmp_path / "into" / name).symlink_to(victim / "made")

    thread = threading.Thread(target=plant)
    thread.start()
    try:
        with opened(tmp_path / "from") as source, opened(tmp_path / "into") as target:
            for name in names:
                with suppress(FileExistsError):
                    rename_no_replace(source, name, target, name)
    finally:
        done.set()
        thread.join()
    assert list(victim.iterdir()) == []
    left = {each.name for each in (tmp_path / "from").iterdir()}
    assert "0" in left and all((tmp_path / "into" / name).is_symlink() for name in left)
    assert not exchange(-1, "a", "b")
