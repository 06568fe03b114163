"""Undoing a container where the host refuses the quick way."""

from pathlib import Path

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.supervision.container_removal import remove_container
from tests.fakes.deep_tree import deep_tree


def test_what_a_container_wrote_is_deleted_at_once_where_it_cannot_be_put_aside(tmp_path: Path) -> None:
    places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")
    places.create()
    cgroups = Cgroups(layout=CgroupLayout({}, tmp_path / "cgroup"), parent="/shoal")
    places.trash.rmdir()  # as a full disk, it takes no new name
    with deep_tree(places.upper("t1") / "u" / "deep"):
        remove_container(places, cgroups, "t1", keep_logs=False)
        assert not places.upper("t1").exists()
