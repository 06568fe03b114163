"""Which file is written to take the kernel's lock of cgroups, and that it is let be when nothing starts."""

from pathlib import Path

import pytest

from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.launch import cgroup_attach_lock
from agent.runtime.launch.cgroup_attach_lock import CgroupAttachLock, own_cgroup_procs

V1 = CgroupLayout({"cpu": Path("/c/cpu"), "cpuacct": Path("/c/cpu"), "name=systemd": Path("/c/sd")}, Path("/c/unified"))
V2 = CgroupLayout({}, Path("/c"))


@pytest.mark.parametrize(
    ("layout", "own", "file"),
    [
        (V2, "0::/system.slice/shoal-agent.service\n", "/c/system.slice/shoal-agent.service/cgroup.procs"),
        (V2, "0::/\n", "/c/cgroup.procs"),
        (V1, "9:name=systemd:/a\n8:cpu,cpuacct:/b\n0::/\n", "/c/sd/a/cgroup.procs"),
        (V1, "8:net_cls:/x\n7:cpu,cpuacct:/b\n", "/c/cpu/b/cgroup.procs"),
        (V2, "0::/with:colon\n", "/c/with:colon/cgroup.procs"),
    ],
)
def test_the_first_hierarchy_that_is_mounted(layout: CgroupLayout, own: str, file: str) -> None:
    assert own_cgroup_procs(layout, own) == Path(file)


def test_a_process_in_no_hierarchy_of_ours() -> None:
    assert own_cgroup_procs(CgroupLayout({}, None), "0::/\n") is None


def test_a_host_that_does_not_allow_it_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/nowhere\n")
    monkeypatch.setattr(cgroup_attach_lock, "_OWN", own)
    lock = CgroupAttachLock(CgroupLayout({}, tmp_path))
    with lock.hold():
        lock.expect_start()
    lock.close()
