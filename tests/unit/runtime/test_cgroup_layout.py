"""Detection of version 1, hybrid and version 2 hosts from mountinfo, and reading both kinds of files."""

from pathlib import Path

from agent.runtime.kernel.cgroup_layout import CgroupLayout, mounted_kind, parse_layout
from agent.runtime.kernel.cgroups import Cgroups, ContainerStats
from agent.safe_paths.mountinfo import parse_mountinfo

HYBRID = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
29 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""


def test_hybrid_hosts_have_version_1_controllers_beside_a_unified_mount() -> None:
    layout = parse_layout(HYBRID)
    both = Path("/sys/fs/cgroup/cpu,cpuacct")
    assert layout.version == 1
    assert layout.hybrid_mount == Path("/sys/fs/cgroup/unified")
    assert layout.controllers["cpu"] == layout.controllers["cpuacct"] == both
    assert layout.controllers["name=systemd"] == Path("/sys/fs/cgroup/systemd")
    assert layout.directories("/a/b") == (
        both / "a/b",
        Path("/sys/fs/cgroup/memory/a/b"),
        Path("/sys/fs/cgroup/systemd/a/b"),
        Path("/sys/fs/cgroup/unified/a/b"),
    )
    assert layout.directory("pids", "/a") is None


def test_version_2_hosts_have_one_directory() -> None:
    layout = parse_layout(UNIFIED)
    assert (layout.version, layout.hybrid_mount) == (2, None)
    assert layout.directories("/a/b") == (Path("/sys/fs/cgroup/a/b"),)
    assert layout.directory("memory", "/a") == Path("/sys/fs/cgroup/a")


def test_the_topmost_mount_at_a_path_counts() -> None:
    text = (
        UNIFIED + "90 27 0:90 / /run/my\\040place rw - ext4 x rw\n91 27 0:91 / /run/my\\040place rw - tmpfs mine rw\n"
    )
    assert mounted_kind(text, Path("/run/my place")) == ("tmpfs", "mine")
    assert mounted_kind(text, Path("/run")) is None


def test_statistics_of_version_2(tmp_path: Path) -> None:
    cgroup = tmp_path / "shoal/t"
    cgroup.mkdir(parents=True)
    (cgroup / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    (cgroup / "memory.current").write_text("5000\n")
    (cgroup / "memory.stat").write_text("anon 1\ninactive_file 1000\n")
    (cgroup / "pids.current").write_text("4\n")
    (cgroup / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    cgroups = Cgroups(layout=CgroupLayout({}, tmp_path), parent="/shoal")
    assert cgroups.stats("t") == ContainerStats(cpu_ns=1_500_000, memory_bytes=4000, pids=4)
    assert cgroups.oom_kills("t") == 1
    assert cgroups.tasks() == {"t"}
    assert cgroups.stats("u") is None


def test_statistics_of_version_1(tmp_path: Path) -> None:
    layout = CgroupLayout({name: tmp_path / name for name in ("cpuacct", "memory", "pids")}, None)
    for directory in layout.directories("/shoal/t"):
        directory.mkdir(parents=True)
    (tmp_path / "cpuacct/shoal/t/cpuacct.usage").write_text("77\n")
    (tmp_path / "memory/shoal/t/memory.usage_in_bytes").write_text("5000\n")
    (tmp_path / "memory/shoal/t/memory.stat").write_text("total_inactive_file 6000\n")
    (tmp_path / "memory/shoal/t/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "pids/shoal/t/pids.current").write_text("1\n")
    cgroups = Cgroups(layout=layout, parent="/shoal")
    assert cgroups.stats("t") == ContainerStats(cpu_ns=77, memory_bytes=0, pids=1)
    assert cgroups.oom_kills("t") == 3


def test_lines_that_are_no_mounts_are_passed_over_and_a_source_is_unescaped() -> None:
    text = "\n36 35 98:0 / /run rw - tmpfs a\\040b rw,size=1k\nbroken - x\n40 35 0:1 / /a\u2028b rw - proc proc rw\n"
    run, other = parse_mountinfo(text)
    assert (run.point, run.kind, run.source, run.options) == (Path("/run"), "tmpfs", "a b", ("rw", "size=1k"))
    assert other.point == Path("/a\u2028b")
