"""Which of the features that an operator may forbid a spec asks for. Pure."""

from collections.abc import Mapping, Set

from engine.translate.container_mounts import has_host_paths
from shoal.api.v1.container_pb2 import Mount
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

_OTHER_HOSTS = frozenset({"tmpfs", "nfs", "nfs4", "cifs", "smb3"})
"""Types of file systems that show nothing of the node's own."""
_OF_PATHS = frozenset({"bind", "rbind", "move", "remount"})


def features_of(task: TaskTemplate) -> Set[str]:
    """Of a container or a service's tasks."""
    container = task.container
    hooks = (*container.post_start, *container.pre_stop)
    asked = {
        PRIVILEGED: container.privileged or any(hook.privileged for hook in hooks),
        BIND: has_host_paths(container.mounts) or any(map(_shows_host_path, container.mounts)),
        HOST_NETWORK: any(each.network == HOST for each in task.networks),
        HOST_PID: container.host_namespaces.pid,
    }
    return {feature for feature, is_asked in asked.items() if is_asked}


def volume_features(options: Mapping[str, str], driver: str) -> Set[str]:
    """Of a volume: the local driver's options can mount anything that mount(8) can, paths and disks of the node too."""
    if driver not in ("", "local") or not options:
        return frozenset()
    of_paths = not _OF_PATHS.isdisjoint(each.strip() for each in options.get("o", "").split(","))
    return frozenset() if options.get("type", "") in _OTHER_HOSTS and not of_paths else {BIND}


def _shows_host_path(mount: Mount) -> bool:
    return mount.type == Mount.VOLUME and bool(volume_features(mount.volume.options, mount.volume.driver))
