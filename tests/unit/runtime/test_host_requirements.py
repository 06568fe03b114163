"""What a host lacks is named before anything is tried."""

import errno
from pathlib import Path

from agent.runtime.host_requirements import missing, require_host


def reported(*, refused: int = 0, user: int = 0) -> list[str]:
    return list(missing(open_file_system=lambda _: refused, user=user))


def test_a_host_that_has_all_lacks_nothing() -> None:
    assert reported() == []
    require_host()


def test_all_that_is_missing_is_told_at_once() -> None:
    root, overlay = reported(refused=errno.ENODEV, user=1000)
    assert "as root" in root
    assert "CONFIG_OVERLAY_FS" in overlay


def test_an_old_kernel_is_told_so() -> None:
    assert reported(refused=errno.ENOSYS) == ["the kernel is older than Linux 5.2"]


def test_cgroups_that_cannot_be_written_to_are_named() -> None:
    places = [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/memory")]
    (problem,) = missing(open_file_system=lambda _: 0, user=0, read_only_cgroups=places)
    assert problem.startswith("cgroups are read-only in /sys/fs/cgroup/cpu, /sys/fs/cgroup/memory: ")


def test_another_refusal_is_not_taken_for_a_missing_feature() -> None:
    assert reported(refused=errno.EPERM) == []
