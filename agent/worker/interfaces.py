"""Interfaces of images, networks and volumes that the worker needs."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.assignments.cluster_diff import ClusterDiff
from agent.worker.sandbox import NO_OPTIONS, ORDINARY, NetworkOptions, Sandbox
from shoal.api.v1.container_pb2 import ContainerSpec, Healthcheck
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskLink

Report = Callable[[str], None]
"""Takes a line for the user about the progress of a long step; called at most a few times a second, from the event
loop."""


@dataclass(frozen=True)
class ImageConfig:
    """The `config` object of an OCI image configuration (image-spec, config.md); absent fields are empty."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True)
class Image:
    """An image that is on this host, unpacked.

    Attributes:
        reference: as it was requested.
        digest: of the manifest for this platform, "sha256:…".
        layers: unpacked layers in the order of overlayfs's lowerdir: the topmost first. At least one.
    """

    reference: str
    digest: str
    config: ImageConfig
    layers: tuple[Path, ...]


class Images(Protocol):
    """Images on this host."""

    @property
    def lacks_space(self) -> bool:
        """Whether an image failed recently because of a full disk, and would fail again. Costs a system call."""
        ...

    async def ensure(self, reference: str, report: Report) -> Image:
        """The image, pulled and unpacked if it is not on this host yet. Concurrent calls share the work.

        Raises:
            NotFound: the registry has no such image, or none for this platform.
            Unauthenticated, PermissionDenied, Unavailable, Exhausted (disk full), InvalidInput (broken image).
        """
        ...

    async def collect_garbage(self, used: frozenset[str]) -> None:
        """Remove images whose digests are not in `used`, and unused layers, when disk space is low."""
        ...


@dataclass(frozen=True)
class Sockets:
    """Open sockets of a container. A port is the protocol's number (6 or 17) and the port number.

    Attributes:
        reachable: listeners that others can reach.
        loopback_only: listeners that only the container itself can reach.
        connections: open TCP connections from outside to those ports.
    """

    reachable: frozenset[tuple[int, int]] = frozenset()
    loopback_only: frozenset[tuple[int, int]] = frozenset()
    connections: int = 0


class Networks(Protocol):
    """The node's datapath and DNS."""

    @property
    def dns_ttl_seconds(self) -> float:
        """How long clients may cache a DNS response."""
        ...

    async def apply(self, change: ClusterDiff) -> None:
        """Apply a change to routes, forwarding entries, policy and names.

        The first call describes the whole cluster. After an error the change must be applied again.
        """
        ...

    async def attach(self, task: Task, options: NetworkOptions = ORDINARY) -> Sandbox:
        """A namespace with the task's addresses and routes, and its published ports. Idempotent for a task.

        Raises:
            Unavailable: the kernel refused. Refused: a port is taken on this host.
        """
        ...

    async def change(self, task: Task, options: NetworkOptions, netns_fd: int) -> Collection[str]:
        """Give a running container the addresses that its task has now, and those alone. Idempotent.

        Connections of addresses that stay are not affected. One without a link gets one.

        Args:
            netns_fd: its network namespace; stays the caller's.
        Returns:
            All of its addresses.
        Raises:
            Unavailable: the kernel refused; another call may succeed.
        """
        ...

    def task_link(self, task_id: str) -> TaskLink:
        """A task's link as it was made or changed last; empty where it has none."""
        ...

    def pool_address(self, container_id: str) -> str:
        """The IPv4 address of a container of one's own in the node's own pool; empty where it has none."""
        ...

    async def withdraw(self, task_id: str) -> None:
        """Accept no new connections on ports that the task publishes on this node; open ones continue. Idempotent.

        Raises:
            Unavailable: the kernel refused.
        """
        ...

    async def detach(self, task_id: str) -> None:
        """Remove ports, routes and links of a task. No error if there are none."""
        ...

    async def recover(self, live: Sequence[Task], options: Mapping[str, NetworkOptions] = NO_OPTIONS) -> None:
        """After a start of the agent: adopt what belongs to `live`, and remove everything else that the agent
        created.

        Args:
            options: by task id, where a task has some that are not on its link.
        """
        ...

    async def sockets(self, pid: int) -> Sockets:
        """Open sockets of this process's container; none if it has exited.

        Raises:
            Unavailable: the kernel does not report them.
        """
        ...


@dataclass(frozen=True)
class MountedFile:
    """A secret or config for a container: a read-only file of its own, in memory.

    Attributes:
        path: absolute, in the container.
        mode: permission bits.
        executable: programs may be started from it.
        template: placeholders in its content are to be filled in.
    """

    path: str
    content: bytes = field(repr=False)
    uid: int
    gid: int
    mode: int
    executable: bool
    template: bool = False


@dataclass(frozen=True)
class MountSource:
    """A volume on this host, for one mount of a container.

    Attributes:
        data: its directory.
        options: `type`, `o` and `device` of mount(8), for a file system to mount in place of `data`; otherwise empty.
        subpath: relative path of a directory in it; empty for the whole volume.
        populate: if it is empty, fill it from the image's directory at the target.
        durable: it outlives the container, and must survive a crash of the host.
    """

    data: Path
    options: Mapping[str, str]
    subpath: str
    populate: bool
    durable: bool = True


class ContentSource(Protocol):
    """Secrets and configs that managers have sent; only in memory."""

    def apply(self, message: Assignments, revisions: Iterable[ServiceRevision]) -> None:
        """Store the received files; drop those that neither these revisions nor this node's volumes need."""
        ...

    async def wait_for_files(self, container: ContainerSpec, report: Report) -> tuple[MountedFile, ...]:
        """A container's secrets and configs, once all have been received; missing ones are reported by name."""
        ...


VolumePart = tuple[str, int]
"""A volume's id, and the slot that the part belongs to; 0 for a volume that is not split by slot."""


class Volumes(Protocol):
    """The volumes of this host."""

    async def prepare(self, container: ContainerSpec, slot: int, report: Report) -> Mapping[str, MountSource]:
        """The volumes of a task's container by target, once all are available; missing local ones are created.

        Raises:
            Unavailable: the disk fails. Refused: another volume's data is in its place.
        """
        ...

    def apply(self, message: Assignments) -> None:
        """Apply a manager's message: volumes to mount, to release, or to delete once no container uses them."""
        ...

    async def run(self, in_use: Callable[[], Collection[VolumePart]], mounted: Callable[[], Collection[str]]) -> None:
        """Mount, release and delete volumes until cancelled.

        Args:
            in_use: parts of volumes that containers use, or wait for.
            mounted: ids of volumes that containers have mounted.
        """
        ...
