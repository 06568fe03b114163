"""What containers and networks need of the kernel."""

import errno
from collections.abc import Callable, Iterable
from pathlib import Path

from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.host_checks.findings import failed, passed, warning

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup")
REQUIRED_CONTROLLERS = frozenset({"cpu", "memory", "pids"})
USEFUL_CONTROLLERS = frozenset({"cpuset", "io"})
MIN_INOTIFY_INSTANCES = 128


def kernel_checks(
    *,
    release: str,
    cgroup_version: int,
    controllers: frozenset[str],
    namespaces: frozenset[str],
    overlay_error: int,
    has_tunnel: bool,
    features: Iterable[str],
) -> list[DiagnosisCheck]:
    """Pure.

    Args:
        cgroup_version: 1 or 2; 0: there are none.
        controllers: of cgroups that this kernel has.
        namespaces: kinds in /proc/self/ns.
        overlay_error: of fsopen(2) for overlayfs; 0: it has it.
        has_tunnel: the VXLAN device of overlay networks exists.
        features: what placement may require, "wireguard" and "esp".
    """
    return [
        passed("kernel", f"Linux {release}"),
        _overlayfs(overlay_error),
        _namespaces(namespaces),
        _cgroups(cgroup_version, controllers),
        _tunnel(has_tunnel),
        _encryption(frozenset(features)),
    ]


def _overlayfs(error: int) -> DiagnosisCheck:
    if not error:
        return passed("overlayfs", "available")
    return failed("overlayfs", f"not available ({errno.errorcode.get(error, error)})", "load the module overlay")


def _namespaces(found: frozenset[str]) -> DiagnosisCheck:
    if lacking := [name for name in NAMESPACES if name not in found]:
        return failed("namespaces", f"missing: {', '.join(lacking)}", "use a kernel with all namespaces")
    return passed("namespaces", ", ".join(NAMESPACES))


def _cgroups(version: int, controllers: frozenset[str]) -> DiagnosisCheck:
    found = f"version {version}, {', '.join(sorted(controllers & (REQUIRED_CONTROLLERS | USEFUL_CONTROLLERS)))}"
    if not version:
        return failed("cgroups", "none are mounted", "mount cgroup2 at /sys/fs/cgroup")
    if lacking := sorted(REQUIRED_CONTROLLERS - controllers):
        return failed("cgroups", f"{found}; missing: {', '.join(lacking)}", "enable the controllers at boot")
    if version == 1:
        return warning("cgroups", found, "boot with systemd.unified_cgroup_hierarchy=1: version 1 is being removed")
    return passed("cgroups", found)


def _tunnel(has_tunnel: bool) -> DiagnosisCheck:
    if has_tunnel:
        return passed("vxlan", "the tunnel device exists")
    return failed("vxlan", "the tunnel device is missing", "load the module vxlan, and restart the agent")


def _encryption(features: frozenset[str]) -> DiagnosisCheck:
    found = sorted(features & {"wireguard", "esp"})
    if found:
        return passed("network encryption", ", ".join(found))
    action = "load the module wireguard, if networks are to be encrypted"
    return warning("network encryption", "the kernel has neither WireGuard nor ESP", action)


def nftables_check(*, works: bool, problem: str) -> DiagnosisCheck:
    """Whether rules can be read. Pure."""
    if works:
        return passed("nftables", "available")
    return failed("nftables", problem, "load the module nf_tables, and install libnftables1")


def limits_check(inotify_instances: int) -> DiagnosisCheck:
    """Limits of the kernel that programs in containers meet first. Pure."""
    found = f"fs.inotify.max_user_instances is {inotify_instances}"
    if inotify_instances < MIN_INOTIFY_INSTANCES:
        action = f"set it to {MIN_INOTIFY_INSTANCES} or more: programs that watch files fail in containers"
        return warning("kernel limits", found, action)
    return passed("kernel limits", found)


def read_namespaces(directory: Path = Path("/proc/self/ns")) -> frozenset[str]:
    """Kinds of namespaces that the kernel has."""
    return frozenset(each.name for each in directory.iterdir())


def read_controllers(read: Callable[[str], str] = lambda path: Path(path).read_text()) -> frozenset[str]:
    """Controllers of cgroups, of either version: io is blkio in version 1."""
    try:
        return frozenset(read("/sys/fs/cgroup/cgroup.controllers").split())
    except OSError:
        rows = [line.split("\t") for line in read("/proc/cgroups").splitlines() if not line.startswith("#")]
        names = {row[0] for row in rows if len(row) == 4 and row[3] == "1"}
        return frozenset(names | ({"io"} if "blkio" in names else set()))
