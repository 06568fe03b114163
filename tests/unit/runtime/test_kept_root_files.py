"""Kept root file systems on a disk that fails, and calls that are cancelled."""

import asyncio
import errno
import json
import threading
from pathlib import Path

import pytest

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.rootfs import kept_roots
from agent.runtime.rootfs.kept_roots import KeptRoot, KeptRoots
from agent.runtime.rootfs.root_locks import ShardedLocks, complete_in_thread
from agent.worker.root_origin import UNKNOWN_ORIGIN, RootOrigin
from shoal.errors import Refused

ROOT = KeptRoot("sha256:1", "image:1", ("/layer",))


def opened(directory: Path) -> tuple[ContainerPaths, KeptRoots, list[str]]:
    paths = ContainerPaths(run=directory / "run", state=directory / "state")
    paths.create()
    steps: list[str] = []
    return paths, KeptRoots(paths, lambda name, _: steps.append(name)), steps


def test_what_is_there_after_it_was_made(tmp_path: Path) -> None:
    paths, roots, steps = opened(tmp_path)
    roots.make("box", ROOT, durable=True)
    place = paths.kept_root("box")
    assert sorted(each.name for each in place.iterdir()) == ["origin.json", "root.json", "u", "v", "w"]
    assert (place / "u").stat().st_mode & 0o777 == 0o755 and place.stat().st_mode & 0o777 == 0o700
    assert steps == ["root draft", "root filled", "root in place", "root durable"]
    _, again, _ = opened(tmp_path)
    again.load()
    assert again.roots == {"box": ROOT}


def test_the_origin_is_kept_and_may_change(tmp_path: Path) -> None:
    paths, roots, _ = opened(tmp_path)
    first, second = RootOrigin("a", 7, "web", "image:1@sha256:1", 5), RootOrigin("b", 9, "web", "image:1@sha256:1", 5)
    for durable in (True, False):
        roots.make("box", ROOT, durable=durable, origin=first)
    roots.make("box", ROOT, durable=True, origin=second)
    assert roots.origins == {"box": first}, "it was made at the first call"
    roots.set_origin("box", second)
    _, again, _ = opened(tmp_path)
    again.load()
    assert again.origins == {"box": second} == roots.origins
    paths.kept_root("box").joinpath("origin.json").write_text('{"epoch": "b"')
    _, damaged, _ = opened(tmp_path)
    damaged.load()
    assert damaged.origins == {"box": UNKNOWN_ORIGIN} and damaged.roots == {"box": ROOT}
    damaged.remove("box")
    assert damaged.origins == {}


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, roots, _ = opened(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(json, "dump", full)
        roots.make("box", ROOT, durable=True)
    assert roots.roots == {} and not any(paths.drafts.iterdir()) and not paths.containers_with_root()
    roots.make("box", ROOT, durable=True)


def test_a_flush_that_failed_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, roots, _ = opened(tmp_path)

    def fails(_: Path) -> None:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="the disk fails"):
        patched.setattr(kept_roots, "fsync_directory", fails)
        roots.make("box", ROOT, durable=True)
    assert roots.roots == {}, "it is not known to be safe yet"
    (paths.kept_root("box") / "u/file").write_text("1")
    roots.make("box", ROOT, durable=True)
    assert roots.roots == {"box": ROOT} and (paths.kept_root("box") / "u/file").exists()


def test_one_that_was_found_is_on_its_image(tmp_path: Path) -> None:
    _, roots, _ = opened(tmp_path)
    roots.make("box", ROOT, durable=False)
    _, again, _ = opened(tmp_path)
    with pytest.raises(Refused, match="is on image sha256:1, not on sha256:2"):
        again.make("box", KeptRoot("sha256:2", "image:2"), durable=False)


def test_drafts_go_once_and_roots_never(tmp_path: Path) -> None:
    paths, roots, _ = opened(tmp_path)
    (paths.drafts / "half/u").mkdir(parents=True)
    roots.make("box", ROOT, durable=False)
    roots.load()
    assert not any(paths.drafts.iterdir()) and roots.roots == {"box": ROOT}
    (paths.drafts / "in-progress").mkdir()
    roots.load()
    assert any(paths.drafts.iterdir())


def test_a_removal_is_one_rename_or_on_a_full_disk_a_deletion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, roots, _ = opened(tmp_path)
    roots.make("one", ROOT, durable=False)
    roots.make("two", ROOT, durable=False)
    roots.remove("one")
    assert [each.name.partition(".")[0] for each in paths.trash.iterdir()] == ["one"]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "rename", full)
    roots.remove("two")
    roots.remove("two")
    assert roots.roots == {} and not paths.containers_with_root()


def test_work_in_a_thread_is_completed_before_its_cancellation_is_seen() -> None:
    async def body() -> None:
        begun, goes_on, done = threading.Event(), threading.Event(), []

        def work(fails: bool) -> None:
            begun.set()
            goes_on.wait()
            done.append(fails)
            if fails:
                raise OSError("failed")

        for fails in (False, True):
            begun.clear()
            goes_on.clear()
            locks = ShardedLocks()

            async def call(fails: bool = fails, locks: ShardedLocks = locks) -> None:
                async with locks.of("box"):
                    await complete_in_thread(work, fails)

            running = asyncio.create_task(call())
            await asyncio.to_thread(begun.wait)
            running.cancel()
            await asyncio.sleep(0.02)
            assert locks.of("box").locked() and not running.done()
            goes_on.set()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert done == [False, True]

    asyncio.run(body())
