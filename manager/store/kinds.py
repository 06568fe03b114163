"""The key layout: every kind of record, the message that it holds, and its one writer.

This table is the whole layout; nothing else builds or parses a key.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from shoal.api.v1 import (
    cluster_pb2,
    file_pb2,
    meta_pb2,
    network_pb2,
    node_pb2,
    service_pb2,
    standalone_pb2,
    task_pb2,
    volume_pb2,
)

ROOT = "/shoal/v1/"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Kind(Generic[M]):
    """One kind of record.

    Attributes:
        name: for logs and for `Tables`.
        message: the class of its value.
        prefix: of the key, below ROOT.
        suffix: of the key, empty where the identifier ends it.
        writer: the only component that may write it.
    """

    name: str
    message: type[M]
    prefix: str
    suffix: str
    writer: str

    def key(self, identifier: str) -> bytes:
        """The etcd key of the record; the identifier is as `identifier()` returns it."""
        return f"{ROOT}{self.prefix}{identifier}{self.suffix}".encode()

    def identifier(self, key: bytes) -> str | None:
        """The identifier in the key, or None when the key is of another kind."""
        text = key.decode()
        start, end = len(ROOT) + len(self.prefix), len(text) - len(self.suffix)
        if end < start or not text.startswith(ROOT + self.prefix) or not text.endswith(self.suffix):
            return None
        return text[start:end]


SERVICE = Kind("service", service_pb2.Service, "services/", "/spec", "control API")
# Identifier: "<service id>/<number>".
REVISION = Kind("revision", service_pb2.ServiceRevision, "revisions/", "", "control API")
SERVICE_STATUS = Kind("service status", service_pb2.ServiceStatus, "services/", "/status", "planner")
AUTOSCALE = Kind("autoscale", service_pb2.AutoscaleStatus, "autoscale/", "", "autoscaler")
# One of its user's own, outside services. It has revisions, a service status and tasks, as a service has.
CONTAINER = Kind("container", standalone_pb2.Container, "containers/", "", "control API")
TASK = Kind("task", task_pb2.Task, "tasks/", "", "planner")
# The planner deletes a status together with its task.
TASK_STATUS = Kind("task status", task_pb2.TaskStatus, "status/", "", "dispatcher")
# Created by the certificate authority when the node joins; the dispatcher adds its identity once.
NODE = Kind("node", node_pb2.Node, "nodes/", "/spec", "control API")
NODE_STATUS = Kind("node status", node_pb2.NodeStatus, "nodes/", "/status", "dispatcher")
NETWORK = Kind("network", network_pb2.Network, "networks/", "/spec", "control API")
ALLOCATION = Kind("allocation", network_pb2.NetworkAllocation, "networks/", "/allocation", "planner")
SECRET = Kind("secret", file_pb2.File, "secrets/", "", "control API")
# Identifier: "<id>/<version>", as for CONFIG_VERSION.
SECRET_VERSION = Kind("secret version", file_pb2.FileVersion, "secret-versions/", "", "control API")
CONFIG = Kind("config", file_pb2.File, "configs/", "", "control API")
CONFIG_VERSION = Kind("config version", file_pb2.FileVersion, "config-versions/", "", "control API")
VOLUME = Kind("volume", volume_pb2.Volume, "volumes/", "", "control API")
# Written by the leader: of CSI volumes by their reconciler, of local ones by the volume mover; deleted with the volume.
VOLUME_STATUS = Kind(
    "volume status", volume_pb2.VolumeStatus, "volume-status/", "", "CSI volume reconciler, volume mover"
)
# Identifier: "<volume id>/<slot>".
VOLUME_HOME = Kind("volume home", volume_pb2.VolumeHome, "volume-homes/", "", "planner")
NODE_VOLUMES = Kind("node volumes", volume_pb2.NodeVolumes, "node-volumes/", "", "dispatcher")
# Identifier: SHA-256 of the image's name, of one without a name that of its digest; hexadecimal.
IMAGE = Kind("image", standalone_pb2.Image, "images/", "", "control API")
# Identifier: the node's.
NODE_IMAGES = Kind("node images", standalone_pb2.NodeImages, "node-images/", "", "dispatcher")
# Identifier: "service/<name>", "network/<name>", "node/<hostname>", "node-address/<address>" and the like.
# Unique, since creating one requires that it is absent. "image/<digest>" is a lock, which the leader writes too
# (`manager/images/image_locks.py`).
NAME = Kind("name", meta_pb2.Name, "names/", "", "control API")
MANAGER = Kind("manager", cluster_pb2.Manager, "managers/", "", "that manager")
# Persists while the manager is not running.
REGISTERED_MANAGER = Kind(
    "registered manager",
    cluster_pb2.RegisteredManager,
    "registered-managers/",
    "",
    "that manager; control API removes it",
)
# A manager's place among the members of etcd, and the change in progress.
MEMBERSHIP = Kind(
    "membership", cluster_pb2.ManagerMembership, "memberships/", "", "certificate authority, leader, control API"
)
REMOVED_MANAGER = Kind("removed manager", cluster_pb2.RemovedManager, "removed-managers/", "", "leader")
MANAGER_CLOCK = Kind("manager clock", cluster_pb2.ManagerClock, "manager-clocks/", "", "that manager")
# Written while a stopping task waits for nodes of other managers. Identifier: the manager's.
APPLIED = Kind("applied", cluster_pb2.ManagerApplied, "applied/", "", "that manager")
# Singletons: the identifier is empty.
CLUSTER = Kind("cluster", cluster_pb2.Cluster, "cluster", "", "certificate authority")
JOIN_TOKEN = Kind("join token", cluster_pb2.JoinToken, "join-tokens/", "", "certificate authority")
# One record, created with the cluster and replaced by each restore and recovery. Identifier: the epoch's.
EPOCH = Kind("epoch", cluster_pb2.Epoch, "epochs/", "", "certificate authority, restore, recover")
# A singleton: the generation of nodes' keys for encrypted networks. The keys themselves are in no record.
OVERLAY_KEYS = Kind("overlay keys", cluster_pb2.OverlayKeys, "overlay-keys", "", "control API")
# A singleton: what an operator chooses for the whole cluster.
CLUSTER_SETTINGS = Kind("cluster settings", cluster_pb2.ClusterSettings, "settings", "", "control API")
# Singletons.
BACKUP_SCHEDULE = Kind("backup schedule", cluster_pb2.BackupSchedule, "backup-schedule", "", "control API")
BACKUP_STATUS = Kind("backup status", cluster_pb2.BackupStatus, "backup-status", "", "backup scheduler")
# A singleton: which releases can read the records.
STATE_FORMAT = Kind("state format", cluster_pb2.StateFormat, "state-format", "", "leader")
LEADER = Kind("leader", cluster_pb2.Leader, "leader", "", "leadership")
PLAN_SEQUENCE = Kind("plan sequence", cluster_pb2.PlanSequence, "plan-sequence", "", "planner")

KINDS: tuple[Kind[Message], ...] = (  # type: ignore[assignment]  # Kind is covariant in fact: its message is only read
    SERVICE,
    REVISION,
    SERVICE_STATUS,
    AUTOSCALE,
    CONTAINER,
    TASK,
    TASK_STATUS,
    NODE,
    NODE_STATUS,
    NETWORK,
    ALLOCATION,
    SECRET,
    SECRET_VERSION,
    CONFIG,
    CONFIG_VERSION,
    VOLUME,
    VOLUME_STATUS,
    VOLUME_HOME,
    NODE_VOLUMES,
    IMAGE,
    NODE_IMAGES,
    NAME,
    MANAGER,
    REGISTERED_MANAGER,
    MEMBERSHIP,
    REMOVED_MANAGER,
    MANAGER_CLOCK,
    APPLIED,
    CLUSTER,
    JOIN_TOKEN,
    OVERLAY_KEYS,
    CLUSTER_SETTINGS,
    BACKUP_SCHEDULE,
    BACKUP_STATUS,
    STATE_FORMAT,
    EPOCH,
    LEADER,
    PLAN_SEQUENCE,
)

_BY_PREFIX: dict[str, tuple[Kind[Message], ...]] = {
    kind.prefix: tuple(other for other in KINDS if other.prefix == kind.prefix) for kind in KINDS
}


def parse_key(key: bytes) -> tuple[Kind[Message], str] | None:
    """The kind and identifier of a key, or None when it is of no kind that this version knows."""
    below = key[len(ROOT) :].decode()
    folder, slash, _ = below.partition("/")
    for kind in _BY_PREFIX.get(folder + slash, ()):
        identifier = kind.identifier(key)
        if identifier is not None:
            return kind, identifier
    return None
