"""How cgroups are mounted on this host: pure functions over the text of /proc/self/mountinfo (proc(5))."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.safe_paths.mountinfo import parse_mountinfo

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class CgroupLayout:
    """Where controllers live.

    Attributes:
        controllers: mount point by controller name for version 1 ("name=systemd" included); empty for version 2.
        unified: mount point of the version 2 hierarchy; on a hybrid host it exists beside the controllers.
    """

    controllers: Mapping[str, Path]
    unified: Path | None

    @property
    def version(self) -> int:
        """1 for version 1 and hybrid hosts, 2 for hosts with the unified hierarchy alone."""
        return 1 if self.controllers else 2

    @property
    def hybrid_mount(self) -> Path | None:
        """The version 2 mount of a hybrid host, which crun does not support; None if there is none."""
        return self.unified if self.controllers else None

    def directories(self, cgroup: str) -> tuple[Path, ...]:
        """Every directory, one per hierarchy, that a cgroup of this absolute name may have.

        On hybrid hosts runc creates one in the unified hierarchy too.
        """
        unified = (self.unified,) if self.unified is not None else ()
        mounts = dict.fromkeys((*self.controllers.values(), *unified))
        return tuple(mount / cgroup.lstrip("/") for mount in mounts)

    def directory(self, controller: str, cgroup: str) -> Path | None:
        """Directory of one controller's files for this cgroup; None if the host does not have the controller."""
        mount = self.controllers.get(controller) if self.controllers else self.unified
        return mount / cgroup.lstrip("/") if mount is not None else None


def parse_layout(mountinfo: str) -> CgroupLayout:
    """The layout under /sys/fs/cgroup; the first mount of a controller is used."""
    controllers: dict[str, Path] = {}
    unified: Path | None = None
    for point, kind, options in _cgroup_mounts(mountinfo):
        if kind == "cgroup2":
            unified = unified or point
            continue
        for option in options:
            if option not in ("rw", "ro", "xattr", "noprefix", "clone_children") and not option.startswith("release_"):
                controllers.setdefault(option, point)
    return CgroupLayout(controllers, unified)


def mounted_kind(mountinfo: str, path: Path) -> tuple[str, str] | None:
    """File system type and source of the topmost mount at exactly `path`; None if nothing is mounted there."""
    found = [entry for entry in parse_mountinfo(mountinfo) if entry.point == path]
    return (found[-1].kind, found[-1].source) if found else None


def _cgroup_mounts(mountinfo: str) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    for entry in parse_mountinfo(mountinfo):
        if entry.kind in ("cgroup", "cgroup2") and entry.point.is_relative_to(_ROOT):
            yield entry.point, entry.kind, entry.options
