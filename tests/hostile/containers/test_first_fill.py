"""A container that holds a volume while another one's image fills it: nothing is written outside of the volume.

Bounds: no file outside; the volume has all of the image's files or none; nothing is left beside it.
"""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime.rootfs.volume_population import finish_population, populate
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image, MountSource
from shoal.api.v1.container_pb2 import Mount
from shoal.errors import Unavailable
from tests.fakes.containers import build_image, log_lines, real_runtime, shell
from tests.fakes.deep_tree import DEPTH, deep_tree
from tests.hostile.containers.disks import memory_disk

FILES = 2500

SWAP = """
until test -d /v/d; do :; done
/bin/busybox mv /v/d /v/taken && /bin/busybox ln -s {victim} /v/d && echo swapped
"""

FILLER = """
import sys
from pathlib import Path
from agent.runtime.rootfs.volume_population import populate
populate(Path(sys.argv[1]), Path(sys.argv[2]), "/data", durable=True)
"""


def many_files(directory: Path, count: int = FILES) -> None:
    directory.mkdir(parents=True)
    for number in range(count):
        (directory / str(number)).write_bytes(b"x" * 100)


def volume(data: Path, *, copy_up: bool) -> dict[str, MountSource]:
    return {"/data" if copy_up else "/v": MountSource(data=data, options={}, subpath="", populate=copy_up)}


def with_volume(image: Image, script: str, data: Path, *, copy_up: bool) -> ContainerRequest:
    volumes = volume(data, copy_up=copy_up)
    mounts = [Mount(type=Mount.VOLUME, source="v", target=target) for target in volumes]
    return replace(shell(image, script, mounts=mounts), volumes=volumes)


def test_a_container_that_swaps_a_directory_gets_no_file_of_the_fill_onto_the_host(tmp_path: Path) -> None:
    data, victim = tmp_path / "volumes/v/_data", tmp_path / "victim"
    for each in (data, victim):
        each.mkdir(parents=True)

    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            image = build_image(tmp_path)
            many_files(image.layers[0] / "data/d")
            attacker = with_volume(image, SWAP.format(victim=victim), data, copy_up=False)
            await runtime.start(attacker)
            filled = with_volume(image, "true", data, copy_up=True)
            await runtime.start(filled)
            assert (await ends.of(filled.task_id)).code == 0
            assert (await ends.of(attacker.task_id)).code == 0
            said = [record.data async for record in log_lines(runtime, attacker.task_id)]
            assert said == [b"swapped"]

    asyncio.run(run())
    assert list(victim.iterdir()) == [], "files of the image outside of the volume"
    assert len(list((data / "taken").iterdir())) == FILES
    assert [each.name for each in data.parent.iterdir()] == ["_data"]


def killed_while_it_copies(data: Path, root: Path) -> Path | None:
    """The volume of a fill that was killed after its first files; None where it was quicker than that."""
    data.mkdir(parents=True)
    filler = subprocess.Popen([sys.executable, "-c", FILLER, str(data), str(root)])
    while filler.poll() is None and not list(data.parent.glob("_fill.new/d/*")):
        pass
    filler.kill()
    return data if filler.wait() == -signal.SIGKILL and list(data.parent.glob("_fill.new")) else None


def test_a_fill_that_is_killed_is_done_again_and_one_killed_while_it_moves_is_finished(tmp_path: Path) -> None:
    root = tmp_path / "root"
    many_files(root / "data/d")
    (root / "data/e").write_text("of the image")
    killed = (killed_while_it_copies(tmp_path / f"v{number}/_data", root) for number in range(10))
    data = next(data for data in killed if data is not None)
    assert list(data.iterdir()) == [], "nothing is seen of a part"
    finish_population(data)
    assert list(data.iterdir()) == []
    populate(data, root, "/data", durable=True)
    assert len(list((data / "d").iterdir())) == FILES

    # As after a crash between the moves of two entries.
    (data.parent / "_fill").mkdir()
    (data / "e").rename(data.parent / "_fill/e")
    finish_population(data)
    assert sorted(each.name for each in data.iterdir()) == ["d", "e"]
    assert [each.name for each in data.parent.iterdir()] == ["_data"]


def test_two_that_fill_at_once_fill_once_and_keep_what_a_container_puts_there(tmp_path: Path) -> None:
    data, root = tmp_path / "v/_data", tmp_path / "root"
    data.mkdir(parents=True)
    many_files(root / "data/d", 2000)
    (root / "data/theirs").write_text("of the image")

    def put() -> None:
        while fillers[0].is_alive() and not (data.parent / "_fill.new/d").exists():
            pass
        (data / "theirs").write_text("of a container")

    fillers = [threading.Thread(target=lambda: populate(data, root, "/data", durable=True)) for _ in range(2)]
    for each in fillers:
        each.start()
    put()
    for each in fillers:
        each.join()
    assert (data / "theirs").read_text() == "of a container"
    assert sorted(each.name for each in data.iterdir()) == ["d", "theirs"]
    assert len(list((data / "d").iterdir())) == 2000
    assert [each.name for each in data.parent.iterdir()] == ["_data"]


def test_a_disk_that_runs_full_leaves_nothing_of_a_fill(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    for number in range(8):
        (root / "data" / str(number)).write_bytes(b"x" * (1 << 18))
    with memory_disk(tmp_path / "disk", "1m") as disk:
        data = disk / "v/_data"
        data.mkdir(parents=True)
        with pytest.raises(OSError, match="No space left on device"):
            populate(data, root, "/data", durable=True)
        assert list(data.iterdir()) == []
        assert [each.name for each in data.parent.iterdir()] == ["_data"]


def test_a_volume_that_the_operator_keeps_elsewhere_is_filled_on_the_same_disk_alone(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data/file").write_text("of the image")
    data = tmp_path / "v/_data"
    data.parent.mkdir()
    elsewhere.mkdir()
    data.symlink_to(elsewhere)
    populate(data, root, "/data", durable=True)
    assert (elsewhere / "file").read_text() == "of the image"
    (elsewhere / "file").unlink()
    with memory_disk(elsewhere):
        with pytest.raises(Unavailable, match="on another file system; use volume-nocopy"):
            populate(data, root, "/data", durable=True)
        finish_population(data)


def open_descriptors() -> int:
    gc.collect()  # of other tests
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_tree_of_any_depth_is_filled_in(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "disk") as disk, deep_tree(disk / "root/data/deep"):
        data = disk / "v/_data"
        data.mkdir(parents=True)
        before = open_descriptors()
        populate(data, disk / "root", "/data", durable=False)
        assert open_descriptors() == before
        at = os.open(data / "deep", os.O_RDONLY | os.O_DIRECTORY)
        for _ in range(DEPTH):
            inner = os.open("dd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
        assert [entry.name for entry in os.scandir(at)] == ["file"]
        os.close(at)
