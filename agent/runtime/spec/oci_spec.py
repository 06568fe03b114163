"""Builds an OCI runtime spec from a request (runtime-spec 1.0.2, config.md and config-linux.md). Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from agent.runtime.confinement.seccomp import SeccompProfile, seccomp_section
from agent.runtime.confinement.seccomp_custom import custom_section
from agent.runtime.spec.devices import DeviceNode, devices_section
from agent.runtime.spec.oci_block_io import Number
from agent.runtime.spec.oci_mounts import bind, has_slave_mounts, mounts_section
from agent.runtime.spec.oci_process import hostname, process_section
from agent.runtime.spec.oci_resources import resources_section
from agent.runtime.spec.user_lookup import ContainerUser
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import MountedFile
from shoal.api.v1.container_pb2 import ContainerSpec, HostNamespaces
from shoal.errors import Fault, InvalidInput
from shoal.protected_paths import MASKED_PATHS, READ_ONLY_PATHS

HOST_NETWORK = -1
UNCONFINED = "unconfined"
INIT_TARGET = "/sbin/docker-init"
"""Docker's path, for images that expect it."""


@dataclass(frozen=True)
class HostFacts:
    """Facts about the host that a spec depends on.

    Attributes:
        machine, kernel: machine and release of uname(2), "x86_64" and "6.1.0-18-amd64".
        agent_pid: process of the request's file descriptors.
        swap_accounting: the kernel can limit swap.
        max_open_files: hard limit of open files per process.
        capabilities: names of the agent's own capabilities.
        profile: the system call filter's source.
        cgroup_version: 1 or 2.
        has_apparmor: containers can have AppArmor profiles.
        recursive_read_only: the kernel can make a mount and all below it read-only (Linux 5.12).
        init: a static program that reaps zombies and forwards signals; None: there is none.
    """

    machine: str
    kernel: str
    agent_pid: int
    swap_accounting: bool
    max_open_files: int
    capabilities: frozenset[str]
    profile: SeccompProfile
    cgroup_version: int = 2
    has_apparmor: bool = False
    init: Path | None = None
    recursive_read_only: bool = True


class Joined(NamedTuple):
    """What a container shares with another one.

    Attributes:
        namespaces: descriptors of the agent's process, by kind: "pid", "ipc".
        shared_memory: where the other one's /dev/shm is mounted; None: it has its own.
    """

    namespaces: Mapping[str, int] = MappingProxyType({})
    shared_memory: Path | None = None


NOTHING_SHARED = Joined()


def oci_spec(
    request: ContainerRequest,
    *,
    user: ContainerUser,
    rootfs: Path,
    cgroup: str,
    etc_files: Mapping[str, Path],
    host: HostFacts,
    mounted_files: Mapping[Path, MountedFile] = MappingProxyType({}),
    devices: Sequence[DeviceNode] = (),
    block_devices: Mapping[str, Number] = MappingProxyType({}),
    file_sources: Collection[str] = (),
    joined: Joined = NOTHING_SHARED,
) -> dict[str, Any]:
    """The whole config.json.

    Args:
        cgroup: absolute name of the container's cgroup.
        etc_files: path on this host by path in the container.
        mounted_files: secrets and configs by path on this host.
        devices: of the host, for the container.
        block_devices: numbers of the devices in `block_io`, by path.
        file_sources: sources of mounts that are not directories.
    Raises:
        InvalidInput: the spec does not fit the image or the host.
    """
    process = process_section(
        request,
        user,
        max_open_files=host.max_open_files,
        available=host.capabilities,
        has_apparmor=host.has_apparmor,
    )
    section = {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(rootfs), "readonly": request.spec.read_only},
        "mounts": mounts_section(
            request.spec,
            etc_files,
            mounted_files,
            recursive_read_only=host.recursive_read_only,
            file_sources=file_sources,
            shared_memory=joined.shared_memory,
        ),
        "linux": _linux_section(
            request, cgroup, process["capabilities"]["bounding"], host, devices, block_devices, joined.namespaces
        ),
    }
    if not request.spec.host_namespaces.uts:
        section["hostname"] = hostname(request)
    if request.spec.annotations:
        section["annotations"] = dict(request.spec.annotations)
    if request.spec.init:
        _add_init(section, host.init)
    return section


def _add_init(section: dict[str, Any], program: Path | None) -> None:
    """Run the node's init as process 1, bound to Docker's path."""
    if program is None:
        raise InvalidInput([Fault("spec.init", "no init found on the node; install tini (apt-get install tini)")])
    process = section["process"]
    process["args"] = [INIT_TARGET, "--", *process["args"]]
    section["mounts"].append(bind(str(program), INIT_TARGET, read_only=True))


def _linux_section(
    request: ContainerRequest,
    cgroup: str,
    capabilities: list[str],
    host: HostFacts,
    devices: Sequence[DeviceNode],
    block_devices: Mapping[str, Number],
    joined: Mapping[str, int],
) -> dict[str, Any]:
    spec = request.spec
    section: dict[str, Any] = {
        "cgroupsPath": cgroup,
        "namespaces": _namespaces(spec.host_namespaces, request.netns_fd, host.agent_pid, joined),
        "resources": resources_section(
            spec,
            request.limits,
            devices,
            swap_accounting=host.swap_accounting,
            cgroup_version=host.cgroup_version,
            block_devices=block_devices,
        ),
    }
    if has_slave_mounts(spec):
        section["rootfsPropagation"] = "rslave"
    if devices:
        section["devices"] = devices_section(devices)
    if sysctls := _sysctls(spec, own_network=not (request.shares_network or request.netns_fd == HOST_NETWORK)):
        section["sysctl"] = sysctls
    if not (spec.privileged or spec.unmasked_paths):
        section |= {"maskedPaths": list(MASKED_PATHS), "readonlyPaths": list(READ_ONLY_PATHS)}
    if has_seccomp(spec):
        section["seccomp"] = _seccomp(spec.seccomp, host, capabilities)
    return section


def has_seccomp(spec: ContainerSpec) -> bool:
    """Whether the container's system calls are filtered."""
    return not spec.privileged and spec.seccomp != UNCONFINED


def _seccomp(profile: str, host: HostFacts, capabilities: list[str]) -> dict[str, Any]:
    if profile:
        return custom_section(profile, machine=host.machine, capabilities=capabilities, kernel=host.kernel)
    return seccomp_section(host.profile, machine=host.machine, capabilities=capabilities)


def _namespaces(
    shared: HostNamespaces, netns_fd: int | None, agent_pid: int, joined: Mapping[str, int]
) -> list[dict[str, str]]:
    kinds = {"pid": shared.pid, "ipc": shared.ipc, "uts": shared.uts, "mount": False, "cgroup": False}
    own = [{"type": kind} for kind, of_host in kinds.items() if not of_host and kind not in joined]
    own += ({"type": kind, "path": f"/proc/{agent_pid}/fd/{number}"} for kind, number in joined.items())
    if netns_fd is None:
        return [*own, {"type": "network"}]
    if netns_fd == HOST_NETWORK:
        return own
    return [*own, {"type": "network", "path": f"/proc/{agent_pid}/fd/{netns_fd}"}]


def _sysctls(spec: ContainerSpec, *, own_network: bool) -> dict[str, str]:
    """Only sysctls of the container's own namespaces are allowed (sysctl(8), namespaces(7))."""
    shared = spec.host_namespaces
    private = (
        *(() if shared.ipc else ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")),
        *(("net.",) if own_network else ()),
    )
    faults = [
        Fault(f"spec.sysctls[{name}]", "is not namespaced; it would change the host")
        for name in spec.sysctls
        if not name.replace("/", ".").startswith(private)
    ]
    if faults:
        raise InvalidInput(faults)
    # As Docker and runc do; the runtime spec has no field for it before version 1.1.
    domain = {"kernel.domainname": spec.domainname} if spec.domainname and not shared.uts else {}
    return {**spec.sysctls, **domain}
