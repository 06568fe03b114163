"""Which of the features that an operator may forbid a spec asks for. Pure."""

from collections.abc import Iterator, Mapping, Set

from engine.translate.containers.container_mounts import has_host_paths
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.networks.network_modes import HOST

PRIVILEGED = "privileged"
BIND = "bind"
HOST_NETWORK = "host-network"
HOST_PID = "host-pid"

SENTENCES = {
    PRIVILEGED: "privileged mode is forbidden",
    BIND: "mounting paths of the host is forbidden",
    HOST_NETWORK: "the host's network is forbidden",
    HOST_PID: "the host's PID namespace is forbidden",
}
"""Of every feature that can be forbidden."""

_CAPABILITIES_OF_THE_HOST = frozenset(
    {
        "ALL", "BPF", "DAC_READ_SEARCH", "MAC_ADMIN", "MAC_OVERRIDE", "PERFMON", "SYSLOG", "SYS_ADMIN", "SYS_BOOT",
        "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_TIME",
    }
)  # fmt: skip
"""Those that reach beyond a container's namespaces. NET_ADMIN and its like end with the namespace."""
_UNCONFINED = "unconfined"
_CONTAINER, _SERVICE = "container:", "service:"
"""A network that is another one's. What services have is not looked up: clients of Docker do not ask for that."""

_OTHER_HOSTS = frozenset({"tmpfs", "nfs", "nfs4", "cifs", "smb3"})
"""Types of file systems that show nothing of the node's own."""
_OF_PATHS = frozenset({"bind", "rbind", "move", "remount"})


def features_of(task: TaskTemplate) -> Set[str]:
    """Of a container or a service's tasks, but for those of containers whose namespaces it joins."""
    container = task.container
    asked = {
        PRIVILEGED: next(privileges_of(container), "") != "",
        BIND: has_host_paths(container.mounts) or any(map(_shows_host_path, container.mounts)),
        HOST_NETWORK: any(each.network == HOST or each.network.startswith(_SERVICE) for each in task.networks),
        HOST_PID: container.host_namespaces.pid,
    }
    return {feature for feature, is_asked in asked.items() if is_asked}


def privileges_of(container: ContainerSpec) -> Iterator[str]:
    """What makes a container as good as privileged, in words."""
    if container.privileged or any(hook.privileged for hook in (*container.post_start, *container.pre_stop)):
        yield "privileged"
    for name in container.cap_add:
        if name.upper().removeprefix("CAP_") in _CAPABILITIES_OF_THE_HOST:
            yield f"capability {name}"
    if container.devices or container.device_cgroup_rules:
        yield "devices"
    if container.host_namespaces.ipc:
        yield "the host's IPC namespace"
    if container.seccomp or container.apparmor == _UNCONFINED or container.unmasked_paths:
        yield "a security profile of its own"


def joined_containers(task: TaskTemplate) -> tuple[Set[str], Set[str]]:
    """The containers whose network it shares; and those whose processes or memory it shares, and so all they have."""
    container = task.container
    networks = {name for each in task.networks if (name := each.network.removeprefix(_CONTAINER)) != each.network}
    return networks, {name for name in (container.pid_container, container.ipc_container) if name}


def volume_features(options: Mapping[str, str], driver: str) -> Set[str]:
    """Of a volume: the local driver's options can mount anything that mount(8) can, paths and disks of the node too."""
    if driver not in ("", "local") or not options:
        return frozenset()
    of_paths = not _OF_PATHS.isdisjoint(each.strip() for each in options.get("o", "").split(","))
    return frozenset() if options.get("type", "") in _OTHER_HOSTS and not of_paths else {BIND}


def _shows_host_path(mount: Mount) -> bool:
    return mount.type == Mount.VOLUME and bool(volume_features(mount.volume.options, mount.volume.driver))
