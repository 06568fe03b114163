"""Directories that builds use one after the other, or together."""

import fcntl
import os
from pathlib import Path

import pytest

from agent.build import locked_directories
from agent.build.locked_directories import hold, is_lock_of, open_existing_lock, open_lock, remove_unused, try_lock


@pytest.fixture
def place(tmp_path: Path) -> Path:
    os.close(open_lock(tmp_path / "caches" / "one"))
    return tmp_path / "caches" / "one"


def test_one_that_is_used_alone_is_of_nobody_else(place: Path) -> None:
    first, second = open_lock(place), open_lock(place)
    assert try_lock(first)
    assert not try_lock(second) and not try_lock(second, fcntl.LOCK_SH)
    os.close(first)
    assert try_lock(second)
    os.close(second)


def test_one_that_is_shared_is_not_used_alone(place: Path) -> None:
    first, second = open_lock(place), open_lock(place)
    assert try_lock(first, fcntl.LOCK_SH) and try_lock(second, fcntl.LOCK_SH)
    assert not try_lock(first)
    os.close(first)
    os.close(second)


def test_one_in_use_is_not_removed(place: Path) -> None:
    lock = open_lock(place)
    assert try_lock(lock, fcntl.LOCK_SH)
    assert not remove_unused(place) and place.is_dir()
    os.close(lock)
    assert remove_unused(place) and not place.exists()


def test_what_is_not_there_is_neither_opened_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "without a lock").mkdir()
    for name in ("missing", "without a lock"):
        assert open_existing_lock(tmp_path / name) is None
        assert not remove_unused(tmp_path / name)
    assert (tmp_path / "without a lock").is_dir()


def test_the_lock_of_a_deleted_directory_is_of_none(place: Path) -> None:
    waiting = open_lock(place)
    assert is_lock_of(waiting, place)
    assert remove_unused(place)
    assert not is_lock_of(waiting, place)
    os.close(open_lock(place))
    assert not is_lock_of(waiting, place)
    os.close(waiting)


def test_one_that_others_hold_is_not_held(place: Path) -> None:
    first = hold(place)
    assert first is not None and hold(place) is None and hold(place, fcntl.LOCK_SH) is None
    os.close(first)
    shared = [hold(place, fcntl.LOCK_SH), hold(place, fcntl.LOCK_SH)]
    for each in shared:
        assert each is not None
        os.close(each)


@pytest.mark.parametrize("after_it_is_opened", [True, False])
def test_one_that_is_deleted_before_it_is_held_is_made_again(
    place: Path, after_it_is_opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def open_and_lose(place: Path) -> int:
        opened.append(place)
        if len(opened) > 1:
            return open_lock(place)
        if not after_it_is_opened:
            raise FileNotFoundError(place / "lock")
        lock = open_lock(place)
        assert remove_unused(place)
        return lock

    monkeypatch.setattr(locked_directories, "open_lock", open_and_lose)
    lock = hold(place)
    assert lock is not None and len(opened) == 2 and is_lock_of(lock, place)
    os.close(lock)
