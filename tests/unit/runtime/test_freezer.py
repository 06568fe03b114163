"""The freezer and the processor quota on both versions of cgroups, on files that stand in for the kernel's."""

from pathlib import Path

import pytest

from agent.runtime.kernel import cgroups as cgroups_module
from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.live.pause import set_paused
from shoal.errors import Refused, Unavailable


def version_1(directory: Path) -> tuple[Cgroups, Path, Path]:
    layout = CgroupLayout({"freezer": directory / "freezer", "cpu": directory / "cpu"}, None)
    for name in ("freezer", "cpu"):
        (directory / name / "shoal/t").mkdir(parents=True)
    return Cgroups(layout=layout, parent="/shoal"), directory / "freezer/shoal/t", directory / "cpu/shoal/t"


def version_2(directory: Path) -> tuple[Cgroups, Path, Path]:
    (directory / "shoal/t").mkdir(parents=True)
    return Cgroups(layout=CgroupLayout({}, directory), parent="/shoal"), directory / "shoal/t", directory / "shoal/t"


def test_version_1(tmp_path: Path) -> None:
    cgroups, freezer, cpu = version_1(tmp_path)
    (freezer / "freezer.state").write_text("THAWED\n")
    set_paused(cgroups, Path("t"), True, briefly=False)
    assert (freezer / "freezer.state").read_text() == "FROZEN" and cgroups.is_frozen("t")
    set_paused(cgroups, Path("t"), False, briefly=False)
    assert (freezer / "freezer.state").read_text() == "THAWED"
    (freezer / "freezer.state").write_text("FREEZING\n")
    assert cgroups.is_frozen("t")
    (cpu / "cpu.cfs_quota_us").write_text("50000")
    cgroups.remove_cpu_quota("t")
    assert (cpu / "cpu.cfs_quota_us").read_text() == "-1"


def test_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cgroups, freezer, cpu = version_2(tmp_path)
    (freezer / "cgroup.freeze").write_text("0\n")
    (freezer / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    set_paused(cgroups, Path("t"), True, briefly=False)
    assert (freezer / "cgroup.freeze").read_text() == "1"
    with pytest.raises(Refused, match="already paused"):
        set_paused(cgroups, Path("t"), True, briefly=False)
    cgroups.kill("t")
    assert (freezer / "cgroup.freeze").read_text() == "0"
    monkeypatch.setattr(cgroups_module, "FREEZE_SECONDS", 0.01)
    (freezer / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(Unavailable, match="cannot be interrupted"):
        set_paused(cgroups, Path("t"), True, briefly=False)
    assert (freezer / "cgroup.freeze").read_text() == "0", "it goes on"
    (cpu / "cpu.max").write_text("50000 100000")
    cgroups.remove_cpu_quota("t")
    assert (cpu / "cpu.max").read_text() == "max"


def test_without_a_cgroup_or_a_freezer(tmp_path: Path) -> None:
    cgroups, _, _ = version_2(tmp_path)
    assert not cgroups.is_frozen("gone")
    cgroups.thaw("gone")
    cgroups.remove_cpu_quota("gone")
    with pytest.raises(Unavailable, match="could not be paused"):
        set_paused(cgroups, Path("gone"), True, briefly=False)
    without = Cgroups(layout=CgroupLayout({"cpu": tmp_path}, None), parent="/shoal")
    with pytest.raises(Unavailable, match="no freezer"):
        set_paused(without, Path("t"), True, briefly=False)


def test_version_1_tries_again_where_processes_fork_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cgroups, freezer, _ = version_1(tmp_path)
    written: list[str] = []

    def write(_: Cgroups, task_id: str, *, frozen: bool) -> None:
        written.append(task_id if frozen else "thawed")
        state = ("FROZEN" if len(written) == 5 else "FREEZING") if frozen else "THAWED"
        (freezer / "freezer.state").write_text(state)

    monkeypatch.setattr(Cgroups, "_write_freezer", write)
    (freezer / "freezer.state").write_text("THAWED\n")
    set_paused(cgroups, Path("t"), True, briefly=False)
    assert written == ["t", "thawed", "t", "thawed", "t"]
