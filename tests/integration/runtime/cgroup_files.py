"""Values of a process's cgroup, on hosts of version 1 and of version 2."""

from pathlib import Path


def cgroup_file(pid: int, controller: str, v1: str, v2: str) -> str:
    """A file's content where the process is (proc(5), cgroups(7)): `v1` in the controller's hierarchy, else `v2`."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return (Path("/sys/fs/cgroup") / controllers / path.lstrip("/") / v1).read_text().strip()
        if not controllers and (file := Path("/sys/fs/cgroup") / path.lstrip("/") / v2).exists():
            return file.read_text().strip()
    raise AssertionError(f"process {pid} has no {v1} or {v2}")


def is_version_1() -> bool:
    """Whether controllers are in hierarchies of their own."""
    return Path("/sys/fs/cgroup/memory").is_dir()
