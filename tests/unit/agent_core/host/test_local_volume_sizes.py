"""What volumes take on the disk is counted by descriptor, in a bounded time."""

import asyncio
from pathlib import Path

import pytest

from agent.volumes.local_volume_sizes import LocalVolumeSizes
from agent.volumes.local_volumes import LocalVolumes
from shoal.api.v1.container_pb2 import ContainerSpec, Mount, VolumeOptions
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, VolumeSize
from shoal.errors import InvalidInput
from shoal.notifier import Notifier

MIB = 1 << 20


def volumes(root: Path) -> LocalVolumeSizes:
    store = LocalVolumes(root, lambda: 1, Notifier())
    container = ContainerSpec()
    container.mounts.add(type=Mount.VOLUME, source="v1", target="/a", volume=VolumeOptions(name="data"))
    container.mounts.add(type=Mount.VOLUME, source="v2", target="/b", volume=VolumeOptions(name="slots", per_slot=True))
    store.ensure(container, 3)
    return LocalVolumeSizes(store, root)


def read(sizes: LocalVolumeSizes, *ids: str, milliseconds: int = 10_000) -> dict[str, VolumeSize]:
    request = ReadVolumeSizesRequest(volume_ids=ids, timeout_ms=milliseconds)
    return {each.volume_id: each for each in asyncio.run(sizes.read(request)).volumes}


def test_what_is_asked_for_and_lies_here_is_counted(tmp_path: Path) -> None:
    sizes = volumes(tmp_path)
    (tmp_path / "data" / "_data" / "file").write_bytes(b"x" * (3 * MIB))
    (tmp_path / "data" / "_data" / "away").symlink_to("/usr")
    found = read(sizes, "v1", "v2", "nowhere")
    assert found.keys() == {"v1", "v2"} and found["v2"].slot == 3
    assert 3 * MIB <= found["v1"].bytes < 4 * MIB and found["v2"].bytes < MIB
    assert read(sizes, "v2").keys() == {"v2"}


def test_a_volume_whose_place_leads_elsewhere_is_told(tmp_path: Path) -> None:
    sizes = volumes(tmp_path)
    (tmp_path / "data" / "_data").rmdir()
    (tmp_path / "data" / "_data").symlink_to("/usr")
    assert "cannot read" in read(sizes, "v1")["v1"].problem


@pytest.mark.parametrize("milliseconds", [0, -1, 60_001])
def test_the_time_is_bounded(tmp_path: Path, milliseconds: int) -> None:
    with pytest.raises(InvalidInput):
        read(volumes(tmp_path), "v1", milliseconds=milliseconds)
