"""What mounts require of where and when tasks start: data that is on one node, data that has one writer.

mount                                        home   one task of a slot at a time
named volume on a node's disk                yes    unless read-only or shared
named volume on a network file system        no     unless read-only or shared
volume of a CSI driver                       no     unless its access mode is for several nodes, or read-only
bind mount                                   no     unless read-only, shared, or below /dev, /proc, /run, /sys
tmpfs, volume without a name                 no     no: each container has its own
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import ServiceSpec

_NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "9p"})
_MEMORY_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})
_HOST_PATHS = tuple(map(PurePosixPath, ("/dev", "/proc", "/sys", "/run", "/var/run")))
"""What is below is the running node's own, and never another one's: sockets, devices."""


def is_exclusive(mount: Mount) -> bool:
    """Whether no two tasks of a slot may have the mount at once."""
    if mount.read_only or mount.shared:
        return False
    if mount.type == Mount.BIND:
        source = PurePosixPath(mount.source)
        return not any(source.is_relative_to(each) for each in _HOST_PATHS)
    if mount.type != Mount.VOLUME or not mount.source or mount.volume.options.get("type") in _MEMORY_FILESYSTEMS:
        return False
    return uses_local_driver(mount) or mount.volume.single_node


def is_node_local(mount: Mount) -> bool:
    """Whether it is a named volume whose data is on the disk of one node, where its tasks have to run."""
    if mount.type != Mount.VOLUME or not mount.source or not uses_local_driver(mount):
        return False
    kind = mount.volume.options.get("type", "")
    if kind == "none" and mount.shared:  # a directory of the host that is on shared storage
        return False
    return kind not in _NETWORK_FILESYSTEMS | _MEMORY_FILESYSTEMS and not kind.startswith("fuse.")


def may_be_remote(mount: Mount) -> bool:
    """Whether a task on another node may have the same data: shared storage cannot be told from local one."""
    is_bound = mount.type == Mount.BIND or mount.volume.options.get("type") == "none"
    return is_exclusive(mount) and not mount.volume.single_node and (is_bound or not is_node_local(mount))


def is_csi_mount(mount: Mount) -> bool:
    """Whether the mount is of a CSI volume."""
    return mount.type == Mount.VOLUME and mount.volume.driver not in ("", "local")


def uses_local_driver(mount: Mount) -> bool:
    """Whether the volume is of the local driver."""
    return mount.volume.driver in ("", "local")


def has_one_task(spec: ServiceSpec) -> bool:
    """Whether no two tasks are to run at once: with several, each uses the data on its own node."""
    if spec.WhichOneof("mode") == "replicated_job":
        return spec.replicated_job.total_completions <= 1
    return spec.WhichOneof("mode") == "replicated" and spec.replicated.replicas <= 1


def has_homes(spec: ServiceSpec) -> bool:
    """Whether tasks are bound to nodes by their volumes."""
    single = has_one_task(spec)
    return any(mount.volume.per_slot or (single and is_node_local(mount)) for mount in spec.task.container.mounts)


def describe_first(mounts: Iterable[Mount]) -> str:
    """The first of them, for texts: "volume data" or "bind mount /srv"."""
    for mount in mounts:
        return f"volume {mount.volume.name}" if mount.type == Mount.VOLUME else f"bind mount {mount.source}"
    return ""
