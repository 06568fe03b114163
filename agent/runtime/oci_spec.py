"""From a request to an OCI runtime spec (runtime-spec 1.0.2, config.md and config-linux.md): pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.runtime.oci_mounts import MASKED_PATHS, READ_ONLY_PATHS, mounts_section
from agent.runtime.oci_process import hostname, process_section
from agent.runtime.seccomp import SeccompProfile, seccomp_section
from agent.runtime.users import User
from agent.worker.seams import ContainerRequest, MountedFile
from shoal.api.v1.meta_pb2 import Resources
from shoal.errors import Fault, InvalidInput

_CPU_PERIOD_US = 100_000
_LEAST_CPU_QUOTA_US = 1_000
DEFAULT_PIDS = 4096
HOST_NETWORK = -1


@dataclass(frozen=True)
class HostFacts:
    """What the spec takes from the host.

    Attributes:
        machine: that of uname(2), "x86_64".
        agent_pid: whose file descriptors the request names.
        swap_accounting: the kernel can limit swap.
        most_open_files: hard limit of open files that a process can have here.
        capabilities: names of those that the agent has itself.
        profile: the system call filter's source.
    """

    machine: str
    agent_pid: int
    swap_accounting: bool
    most_open_files: int
    capabilities: frozenset[str]
    profile: SeccompProfile


def oci_spec(
    request: ContainerRequest,
    *,
    user: User,
    rootfs: Path,
    cgroup: str,
    files: Mapping[str, Path],
    host: HostFacts,
    mounted: Mapping[Path, MountedFile] = MappingProxyType({}),
) -> dict[str, Any]:
    """The whole config.json.

    Args:
        cgroup: absolute name of the container's cgroup.
        files: path on this host by path in the container.
        mounted: secrets and configs by path on this host.
    Raises:
        InvalidInput: the spec and the image do not fit.
    """
    process = process_section(request, user, most_open_files=host.most_open_files, available=host.capabilities)
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(rootfs), "readonly": request.spec.read_only},
        "hostname": hostname(request),
        "mounts": mounts_section(request.spec, files, mounted),
        "linux": _linux_section(request, cgroup, process["capabilities"]["bounding"], host),
    }


def _linux_section(request: ContainerRequest, cgroup: str, capabilities: list[str], host: HostFacts) -> dict[str, Any]:
    spec = request.spec
    section: dict[str, Any] = {
        "cgroupsPath": cgroup,
        "namespaces": _namespaces(request.netns_fd, host.agent_pid),
        "resources": _resources(request.limits, privileged=spec.privileged, swap_accounting=host.swap_accounting),
    }
    if spec.sysctls:
        section["sysctl"] = _sysctls(spec.sysctls, host_network=request.netns_fd == HOST_NETWORK)
    if not spec.privileged:
        section |= {"maskedPaths": list(MASKED_PATHS), "readonlyPaths": list(READ_ONLY_PATHS)}
    if not spec.privileged and _filtered(spec.seccomp):
        section["seccomp"] = seccomp_section(host.profile, machine=host.machine, capabilities=capabilities)
    return section


def _filtered(seccomp: str) -> bool:
    if seccomp not in ("", "unconfined"):
        raise InvalidInput([Fault("spec.seccomp", f'{seccomp!r} is not known; leave it empty or write "unconfined"')])
    return seccomp == ""


def _namespaces(netns_fd: int | None, agent_pid: int) -> list[dict[str, str]]:
    own = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    if netns_fd is None:
        return [*own, {"type": "network"}]
    if netns_fd == HOST_NETWORK:
        return own
    return [*own, {"type": "network", "path": f"/proc/{agent_pid}/fd/{netns_fd}"}]


def _resources(limits: Resources, *, privileged: bool, swap_accounting: bool) -> dict[str, Any]:
    section: dict[str, Any] = {
        "devices": [{"allow": privileged, "access": "rwm"}],
        "pids": {"limit": limits.pids or DEFAULT_PIDS},
    }
    if limits.nano_cpus:
        quota = max(_LEAST_CPU_QUOTA_US, limits.nano_cpus * _CPU_PERIOD_US // 10**9)
        section["cpu"] = {"quota": quota, "period": _CPU_PERIOD_US}
    if limits.memory_bytes:
        # Swap counts memory and swap together: equal means no swap, so that the limit is one of memory.
        swap = {"swap": limits.memory_bytes} if swap_accounting else {}
        section["memory"] = {"limit": limits.memory_bytes, **swap}
    return section


def _sysctls(sysctls: Mapping[str, str], *, host_network: bool) -> dict[str, str]:
    """Only those that belong to a namespace of the container's own (sysctl(8), namespaces(7))."""
    private = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.") + (() if host_network else ("net.",))
    faults = [
        Fault(f"spec.sysctls[{name}]", "is not of a namespace of the container's own, it would change the host")
        for name in sysctls
        if not name.startswith(private)
    ]
    if faults:
        raise InvalidInput(faults)
    return dict(sysctls)
