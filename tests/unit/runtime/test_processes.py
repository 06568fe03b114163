"""Reading /proc while processes and threads end, and where names are not text."""

from pathlib import Path

from agent.network.ports.host_listeners import ProgramNames
from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.runtime.kernel.processes import children, descendants, status
from agent.safe_paths.mountinfo import read_mountinfo


def process(proc: Path, pid: int | str, *threads: str) -> None:
    """One with a thread for each of these lists of children; of an empty name, the thread has ended."""
    for number, listed in enumerate(threads):
        thread = proc / str(pid) / "task" / str(number)
        thread.mkdir(parents=True)
        if listed:
            (thread / "children").write_text(listed)


def test_a_thread_that_ends_takes_no_other_ones_children_along(tmp_path: Path) -> None:
    process(tmp_path, "self", "10 11 ", "", "12 ")
    assert sorted(children("self", tmp_path)) == [10, 11, 12]
    assert list(children(99, tmp_path)) == []


def test_descendants_may_be_deep(tmp_path: Path) -> None:
    for pid in range(2000):
        process(tmp_path, pid, f"{pid + 1} ")
    assert list(descendants(0, tmp_path)) == list(range(1, 2001))


def test_a_name_may_hold_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_bytes(b"Name:\t\xff\xfe\x0c\x1c\nSeccomp:\t2\nNSpid:\t7\t1\n")
    found = status(7, tmp_path)
    assert (found["Seccomp"], found["NSpid"]) == ("2", "7\t1")
    assert status(8, tmp_path) == {}


def test_so_may_a_program_that_listens(tmp_path: Path) -> None:
    (tmp_path / "812" / "fd").mkdir(parents=True)
    (tmp_path / "812" / "comm").write_bytes(b"b\xfcro\n")
    (tmp_path / "812" / "fd" / "3").symlink_to("socket:[77]")
    assert ProgramNames(tmp_path).names_of([77])[77] == "b\ufffdro"


def test_and_a_mount_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    lines = b"21 1 8:1 / /media/b\xfcro rw - ext4 /dev/sda1 rw\n22 1 0:20 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "self" / "mountinfo").write_bytes(lines)
    assert parse_layout(read_mountinfo(tmp_path)).unified == Path("/sys/fs/cgroup")
