"""The volumes of a host: made, found again, told, and deleted when nothing uses them."""

import asyncio
from pathlib import Path

import pytest

from agent.volumes.local_volumes import LocalVolumes
from agent.worker.interfaces import VolumePart
from shoal.api.v1.container_pb2 import ContainerSpec, Mount, VolumeOptions
from shoal.api.v1.volume_pb2 import LocalVolume
from shoal.errors import Refused
from shoal.notifier import Notifier


def container(name: str = "data", volume_id: str = "v1", *, per_slot: bool = False) -> ContainerSpec:
    use = VolumeOptions(name=name, per_slot=per_slot, subpath="sub", no_copy=True, options={"type": "nfs"})
    mounts = [
        Mount(type=Mount.VOLUME, source=volume_id, target="/data", volume=use),
        Mount(type=Mount.TMPFS, target="/run"),
        Mount(type=Mount.VOLUME, target="/own"),
    ]
    return ContainerSpec(mounts=mounts)


def test_what_is_made_is_found_again(tmp_path: Path) -> None:
    store = LocalVolumes(tmp_path / "volumes", lambda: 7, Notifier())
    assert store.volumes() == [] and not (tmp_path / "volumes").exists()
    (source,) = store.ensure(container(), 3).values()
    assert source.data == tmp_path / "volumes/data/_data" and source.data.is_dir()
    assert (source.subpath, source.populate, source.options) == ("sub", False, {"type": "nfs"})
    slot = store.ensure(container(per_slot=True), 3)["/data"]
    assert slot.data == tmp_path / "volumes/data.3/_data", "no other volume can have a dot in its name"
    (tmp_path / "volumes/strange").mkdir()
    again = LocalVolumes(tmp_path / "volumes", lambda: 9, Notifier())
    assert again.volumes() == [
        LocalVolume(volume_id="v1", name="data", created_at_ms=7),
        LocalVolume(volume_id="v1", name="data", slot=3, created_at_ms=7),
    ]


def test_another_volumes_data_is_never_taken_or_destroyed(tmp_path: Path) -> None:
    store = LocalVolumes(tmp_path, lambda: 7, Notifier())
    data = store.ensure(container(), 1)["/data"].data
    (data / "precious").write_text("x")
    with pytest.raises(Refused, match="move it away"):
        store.ensure(container(volume_id="v2"), 1)
    assert (data / "precious").exists()


def test_a_record_that_names_no_volume_or_another_place_says_nothing(tmp_path: Path) -> None:
    store = LocalVolumes(tmp_path, lambda: 7, Notifier())
    for name, identifier in (("data", "v1"), ("other", "v2")):
        (store.ensure(container(name, identifier), 1)["/data"].data / "row").write_text(name)
    (tmp_path / "data/volume").write_bytes(b"")  # as a crash of the host leaves it
    (tmp_path / "other").rename(tmp_path / "renamed")
    again = LocalVolumes(tmp_path, lambda: 9, Notifier())
    assert again.volumes() == []
    found = again.ensure(container(), 1)["/data"].data
    assert (found / "row").read_text() == "data", "the data is the volume's still"
    assert [held.volume_id for held in again.volumes()] == ["v1"]
    assert list(again.ensure(container("other", "v2"), 1)["/data"].data.iterdir()) == []
    assert (tmp_path / "renamed/_data/row").read_text() == "other"


def test_it_is_deleted_as_soon_as_nothing_uses_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        notifier = Notifier()
        store = LocalVolumes(tmp_path, lambda: 7, notifier)
        for name, identifier in (("data", "v1"), ("other", "v2")):
            store.ensure(container(name, identifier), 1)
        used = {("v1", 0)}
        reports: list[list[str]] = []
        looks = 0

        def in_use() -> set[VolumePart]:
            nonlocal looks
            looks += 1
            return used

        async def follow() -> None:
            async for _ in notifier.wakeups():
                reports.append([each.name for each in store.volumes()])  # noqa: PERF401  # looked at as they come

        running = [asyncio.create_task(store.run(in_use)), asyncio.create_task(follow())]
        store.schedule_removal(["v1", "unknown"])
        async with asyncio.timeout(60):
            while looks < 2:  # noqa: ASYNC110  # nobody tells of a look
                await asyncio.sleep(0.01)
        assert [each.name for each in store.volumes()] == ["data", "other"]
        used.clear()
        async with asyncio.timeout(60):
            while not reports or reports[-1] != ["other"]:  # noqa: ASYNC110  # the reports are what is waited for
                await asyncio.sleep(0.01)
        assert reports[0] == ["data", "other"]
        assert not (tmp_path / "data").exists() and (tmp_path / "other/_data").is_dir()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(scenario())


def test_what_a_crash_left_of_a_removed_volume_is_nobodys_and_goes(tmp_path: Path) -> None:
    left = tmp_path / ".removed/data.7/_data"
    left.mkdir(parents=True)
    (left / "of another").write_text("x")

    async def scenario() -> None:
        store = LocalVolumes(tmp_path, lambda: 7, Notifier())
        assert store.volumes() == []
        data = store.ensure(container(), 1)["/data"].data
        assert list(data.iterdir()) == []
        running = asyncio.create_task(store.run(lambda: ()))
        async with asyncio.timeout(60):
            while left.exists():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
        assert data.is_dir()
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scenario())


def test_a_name_never_leads_out_of_the_directory(tmp_path: Path) -> None:
    store = LocalVolumes(tmp_path / "volumes", lambda: 7, Notifier())
    for name in ("../x", "a/b", "..", "/etc"):
        with pytest.raises(Refused, match="is not a valid volume name"):
            store.ensure(container(name), 1)
