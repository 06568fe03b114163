"""Trees too deep for paths and for functions that call themselves: deleted wherever containers or images make them."""

import asyncio
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.build.build_host import BuildHost
from agent.images.content_store import ContentStore
from agent.reset import reset
from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.cgroups import Cgroups
from agent.settings import AgentSettings
from agent.volumes.local_volumes import LocalVolumes
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.api.v1.container_pb2 import ContainerSpec, Mount, VolumeOptions
from shoal.contexts.context_store import ContextStore
from shoal.errors import Unavailable
from shoal.notifier import Notifier
from shoal.tree_removal import delete_trees
from tests.fakes.deep_tree import deep_tree


def test_all_that_is_named_goes_and_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "-rf").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    many = [tmp_path / str(number) for number in range(250)]
    for each in many:
        each.mkdir()
    with deep_tree(tmp_path / "deep") as deep:
        delete_trees(deep, tmp_path / "-rf", tmp_path / "link", tmp_path / "absent", *many)
    assert list(tmp_path.iterdir()) == []


def test_what_stays_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with pytest.raises(Unavailable, match="/proc/self/stat"):
        delete_trees(Path("/proc/self/stat"), tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_a_layer_and_what_a_crash_left_of_one(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)
    content.open()
    with deep_tree(content.layer("sha256:1")):
        content.remove(content.move_aside(content.layer("sha256:1")))
        assert not content.has_layer("sha256:1")
    with deep_tree(tmp_path / "temporary" / "half"):
        content.open()
        assert list((tmp_path / "temporary").iterdir()) == []


def test_what_a_crash_left_and_cannot_be_deleted_keeps_no_agent_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    content = ContentStore(tmp_path)
    left = tmp_path / "temporary" / "build-b"
    left.mkdir(parents=True)
    monkeypatch.setenv("PATH", "")  # stands in for a file that is immutable, which rm(1) cannot delete either
    content.open()
    assert left.exists() and content.layers() == frozenset()
    images: Any = content
    paths: Any = SimpleNamespace(run=tmp_path)
    host: Any = SimpleNamespace(paths=paths, images=images)
    BuildHost.clear(host)
    assert left.exists()
    assert "could not delete all temporary files of images: rm: " in caplog.text
    assert "could not delete all files of earlier builds: rm: " in caplog.text


def test_a_volume(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = LocalVolumes(tmp_path, lambda: 7, Notifier())
        mount = Mount(type=Mount.VOLUME, source="v1", target="/data", volume=VolumeOptions(name="data"))
        source = store.ensure(ContainerSpec(mounts=[mount]), 1)["/data"]
        with deep_tree(source.data / "deep"):
            running = asyncio.create_task(store.run(lambda: ()))
            store.schedule_removal(["v1"])
            async with asyncio.timeout(60):
                while store.volumes():  # noqa: ASYNC110  # the task under test tells nobody
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait([running])
        assert not (tmp_path / "data").exists()

    asyncio.run(scenario())


def test_reset_leaves_images_and_volumes_unless_told(tmp_path: Path) -> None:
    settings = AgentSettings(state_directory=tmp_path / "agent", run_directory=Path("/run/shoal-test"))
    settings.images_directory.mkdir(parents=True)
    settings.volumes_directory.mkdir()
    with deep_tree(settings.runtime_directory / "trash" / "t"), deep_tree(settings.volumes_directory / "data"):
        asyncio.run(reset(settings, images=False))
        assert sorted(path.name for path in settings.state_directory.iterdir()) == ["images", "volumes"]
        asyncio.run(reset(settings, images=True))
        assert not settings.state_directory.exists()


def test_a_playground(tmp_path: Path) -> None:
    layout = Layout("deeptree", 1, IPv4Network("198.18.33.0/24"), tmp_path / "state", tmp_path / "run")
    with deep_tree(layout.state / "hosts"):
        Playground(layout, contexts=ContextStore(tmp_path / "contexts")).down()
        assert not layout.state_root.exists()


def test_cgroups_of_a_container_that_made_some_of_its_own(tmp_path: Path) -> None:
    deepest = tmp_path / "shoal" / "t1"
    for _ in range(1500):
        deepest /= "d"
    for path in reversed([deepest, *deepest.parents]):
        path.mkdir(exist_ok=True)
    try:
        cgroups = Cgroups(layout=CgroupLayout({}, tmp_path), parent="/shoal")
        (deepest / "cgroup.procs").write_text("7\n")
        assert cgroups.processes("t1") == {7}
        (deepest / "cgroup.procs").unlink()
        assert cgroups.remove("t1")
        assert list((tmp_path / "shoal").iterdir()) == []
    finally:
        delete_trees(tmp_path / "shoal")
