"""Undoing a container where the host refuses the quick way."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.supervision import container_removal
from agent.runtime.supervision.container_removal import remove_container, remove_remains
from shoal.errors import Unavailable
from tests.fakes.deep_tree import deep_tree


def test_what_a_container_wrote_is_deleted_at_once_where_it_cannot_be_put_aside(tmp_path: Path) -> None:
    places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")
    places.create()
    cgroups = Cgroups(layout=CgroupLayout({}, tmp_path / "cgroup"), parent="/shoal")
    places.trash.rmdir()  # as a full disk, it takes no new name
    with deep_tree(places.upper("t1") / "u" / "deep"):
        remove_container(places, cgroups, "t1", keep_logs=False)
        assert not places.upper("t1").exists()


def test_remains_that_cannot_be_removed_do_not_stop_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")
    places.create()

    class Busy(Cgroups):
        """A process of it cannot be killed."""

        def remove(self, task_id: str) -> bool:
            del task_id
            return False

    monkeypatch.setattr(container_removal, "_KILL_SECONDS", 0.01)
    remove_remains(places, Busy(layout=CgroupLayout({}, tmp_path / "cgroup"), parent="/shoal"), "t1")
    assert "could not remove all that is left of task t1: task t1: could not kill processes" in caplog.text


def test_a_kept_root_that_is_still_mounted_is_not_given_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent died before it wrote the record; conmon, not its child any more, is about to exit."""
    places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")
    places.create()
    cgroups = Cgroups(layout=CgroupLayout({}, tmp_path / "cgroup"), parent="/shoal")
    monkeypatch.setattr(container_removal, "_KILL_SECONDS", 0.2)
    monkeypatch.setattr(container_removal, "_reap_conmon", lambda _: None)  # this process may adopt orphans
    program = tmp_path / "conmon"
    shutil.copy("/usr/bin/sleep", program)
    started = subprocess.run(
        ["/bin/sh", "-c", f"{program} 1000 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True, check=True
    )
    pid = int(started.stdout)
    bundle = places.bundle("t1")
    bundle.mkdir()
    (bundle / "container").write_text("box")
    (bundle / "conmon.pid").write_text(str(pid))
    try:
        with pytest.raises(Unavailable, match="still being unmounted"):
            remove_container(places, cgroups, "t1", keep_logs=False)
        assert bundle.exists()
    finally:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while bundle.exists() and time.monotonic() < deadline:
        with suppress(Unavailable):
            remove_container(places, cgroups, "t1", keep_logs=False)
    assert not bundle.exists()
