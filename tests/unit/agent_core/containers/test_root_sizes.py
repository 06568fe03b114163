"""Bytes on disk of containers: what they changed and what is below, each layer counted once."""

import asyncio
from pathlib import Path

import pytest

from agent.archives.root_sizes import MAX_CONTAINERS, RootSizes
from agent.runtime.live.root_access import RootFiles
from shoal.api.v1.agent_containers_pb2 import ContainerSize, ReadContainerSizesRequest
from shoal.errors import InvalidInput


def sizes_in(directory: Path) -> tuple[RootSizes, dict[str, RootFiles]]:
    for name, size in (("upper", 10_000), ("below", 100_000)):
        (directory / name).mkdir()
        (directory / name / "file").write_bytes(b"x" * size)
    files = {"box": RootFiles(directory / "upper", (directory / "below",))}
    return RootSizes(files.get), files


def read(sizes: RootSizes, *names: str, milliseconds: int = 10_000) -> list[ContainerSize]:
    request = ReadContainerSizesRequest(containers=names, timeout_ms=milliseconds)
    return list(asyncio.run(sizes.read(request)).sizes)


def test_changes_and_layers(tmp_path: Path) -> None:
    sizes, files = sizes_in(tmp_path)
    (size,) = read(sizes, "box", "elsewhere")
    assert (size.container, size.problem) == ("box", "")
    assert 10_000 <= size.writable_bytes < 20_000 and 100_000 <= size.image_bytes < 110_000
    (tmp_path / "below/file").unlink()  # it never happens: that it is not seen shows that it is not counted again
    assert read(sizes, "box")[0].image_bytes == size.image_bytes
    files["empty"] = RootFiles(tmp_path / "below", ())
    assert read(sizes, "empty")[0].writable_bytes == 0


def test_what_cannot_be_counted_is_a_problem_of_its_own(tmp_path: Path) -> None:
    sizes, files = sizes_in(tmp_path)
    files["gone"] = RootFiles(tmp_path / "nowhere", ())
    gone, box = read(sizes, "gone", "box")
    assert gone.problem.startswith("cannot read") and not gone.writable_bytes
    assert box.writable_bytes


def test_too_much_is_refused(tmp_path: Path) -> None:
    sizes, _ = sizes_in(tmp_path)
    with pytest.raises(InvalidInput):
        read(sizes, *map(str, range(MAX_CONTAINERS + 1)))
    for milliseconds in (0, 60_001):
        with pytest.raises(InvalidInput):
            read(sizes, "box", milliseconds=milliseconds)
